"""``inhand replay``: a flight log through the same policy path once more, and as a video."""

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import MISSING

from hardware.replay import ReplayReport, flown_plant, replay, trajectory
from inhand import report
from inhand.policies import locate

FRAME_RATE = 25.0


@dataclass(frozen=True)
class ReplayJob:
    """A replay."""

    log: str = MISSING
    """The flight log."""

    policy: str | None = None
    """Directory of the policy, or the name of a shipped one, if it has moved since the log was made."""

    video: str | None = None
    """File for a video of what mocap and joint sensors saw, .mp4."""

    out: str | None = None
    """File to write the comparison to, as JSON."""

    def __post_init__(self) -> None:
        report.check_out(self.out)
        report.check_out(self.video, "video", ".mp4")


def run(job: ReplayJob) -> int:
    """Replays and prints the comparison; writes ``out`` as JSON and then, which may fail, draws ``video``.

    Returns:
        1 if an action differs.
    """
    result = run_replay(job)
    print(f"replay: {result.identical} of {result.ticks} actions identical")
    print(f"ticks in hold: {result.holds}, not comparable: {result.skipped}")
    if not result.complete:
        print("the log ends early: its recorder was killed")
    if result.first_difference:
        print(f"first difference: {result.first_difference}")
    if job.out is not None:
        report.write_json(job.out, result)
    if job.video is not None:
        draw(Path(job.log), Path(job.video))
    return 0 if result.identical == result.ticks else 1


def run_replay(job: ReplayJob) -> ReplayReport:
    """Compares every action."""
    return replay(Path(job.log), locate(job.policy) if job.policy else None)


def draw(log: Path, video: Path) -> None:
    """Draws what the sensors saw into a video, with the hand that was flown."""
    from sim.puppet import Moment  # these load what draws, which nothing else here needs
    from sim.video import Clip, caption, write_video

    seen = trajectory(log, FRAME_RATE)
    columns = (torch.from_numpy(c) for c in (seen.joint_pos, seen.object_pos, seen.object_quat, seen.goal_quat))
    moments = [Moment(*row) for row in zip(*columns, strict=True)]
    captions = [caption(t, n) for t, n in zip(seen.times, seen.successes, strict=True)]
    write_video(video, Clip(moments, captions, FRAME_RATE, flown_plant(log)))
