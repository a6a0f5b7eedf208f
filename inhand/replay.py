"""``inhand replay``: a flight log through the same policy path once more, and as a video."""

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import MISSING

from hardware.replay import ReplayReport, replay, trajectory
from inhand import report
from sim.puppet import Moment
from sim.video import Clip, caption, write_video

FRAME_RATE = 25.0


@dataclass(frozen=True)
class ReplayJob:
    """A replay."""

    log: str = MISSING
    """The flight log."""

    policy: str | None = None
    """Directory of the policy, if it has moved since the log was made."""

    video: str | None = None
    """File for a video of what mocap and joint sensors saw."""

    out: str | None = None
    """File to write the comparison to, as JSON."""

    def __post_init__(self) -> None:
        report.check_out(self.out)


def run(job: ReplayJob) -> int:
    """Replays, prints the comparison and, with ``out``, writes it as JSON; 1 if an action differs."""
    result = run_replay(job)
    print(f"replay: {result.identical} of {result.ticks} actions identical, {result.skipped} ticks not comparable")
    if not result.complete:
        print("the log ends early: its recorder was killed")
    if result.first_difference:
        print(f"first difference: {result.first_difference}")
    if job.out is not None:
        report.write_json(job.out, result)
    return 0 if result.identical == result.ticks else 1


def run_replay(job: ReplayJob) -> ReplayReport:
    """Compares, and draws the video if one is asked for."""
    log = Path(job.log)
    result = replay(log, Path(job.policy) if job.policy else None)
    if job.video:
        draw(log, Path(job.video))
    return result


def draw(log: Path, video: Path) -> None:
    """Draws what the sensors saw into a video."""
    seen = trajectory(log, FRAME_RATE)
    columns = (torch.from_numpy(c) for c in (seen.joint_pos, seen.object_pos, seen.object_quat, seen.goal_quat))
    moments = [Moment(*row) for row in zip(*columns, strict=True)]
    captions = [caption(t, n) for t, n in zip(seen.times, seen.successes, strict=True)]
    write_video(video, Clip(moments, captions, FRAME_RATE))
