"""``inhand eval``: consecutive successes of a policy over N trials, or of every new checkpoint of a run."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inhand import report
from inhand.policies import locate
from policy.evaluate import Evaluation, evaluate, table
from policy.follow import follow
from policy.runtime import PolicyRuntime
from randomization.config import RandomizationConfig
from robot.checks import check_numbers
from robot.goal import GoalConfig
from robot.plant import PlantConfig
from sim.backend import SimConfig
from sim.env import ReorientEnv
from sim.reset import ResetConfig
from sim.scene import SceneConfig
from sim.task import TaskConfig

if TYPE_CHECKING:
    from sim.video import Clip


@dataclass(frozen=True)
class EvalJob:
    """An evaluation.

    Raises:
        ValueError: if a value is out of its range or a file could not be written.
    """

    policy: str | None = None
    """Directory of the policy artefact, or the name of a shipped one."""

    follow: str | None = None
    """Directory of a training run, instead of a policy: scores each new checkpoint as it appears, and keeps there the
    ranking, ``evaluations.jsonl`` and ``evaluations.png``, and the best policy, ``best/``. Ends with Ctrl-C, or when
    the budget of the run is spent; one that is killed may be started again."""

    follow_idle: float = 0.0
    """Minutes without a new checkpoint after which ``follow`` ends; 0 for never."""

    trials: int = 100
    """Episodes, each in a world of its own (D18: 100)."""

    seed: int = 0
    """Seed of every random draw."""

    sample: bool = False
    """Draw the actions, as in training, instead of taking the most probable ones."""

    goal: GoalConfig = field(default_factory=lambda: GoalConfig(time_limit=80.0))
    scene: SceneConfig = field(default_factory=SceneConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)

    plant: PlantConfig = field(default_factory=PlantConfig)
    """The model of the hand: our own, on which policies train, or one that others wrote."""

    sim: SimConfig = field(default_factory=SimConfig)
    """What steps the worlds: the CPU or a GPU."""

    physics_threads: int = 0
    """CPU threads of the physics; 0 for all."""

    video: str | None = None
    """File for a video of one trial, .mp4."""

    video_trial: int = 0
    """Which trial the video shows, from 0."""

    out: str | None = None
    """File to write the result to, as JSON."""

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.follow is None):
            raise ValueError("one of policy=DIRECTORY, or NAME, and follow=RUN is needed, and not both")
        if self.follow is not None and (self.out is not None or self.video is not None):
            raise ValueError(f"with follow there is no out and no video; {self.follow} keeps what was measured")
        check_numbers("", self, "follow_idle", "physics_threads", least=0)
        check_numbers("", self, "trials", least=1)
        check_numbers("", self, "video_trial", least=0, below=self.trials)
        report.check_out(self.out)
        report.check_out(self.video, "video", ".mp4")


def run(job: EvalJob) -> None:
    """Evaluates, prints a row as in D18's Table 3; writes ``out`` as JSON and then, which may fail, draws ``video``.

    With ``follow``, does so with every new checkpoint of a run until it is over or the user interrupts.
    """
    if job.follow is not None:
        run_following(job, Path(job.follow))
        return
    result, clip = run_evaluation(job)
    name = f"{job.policy}: block, {job.goal.law} goals, randomization {job.randomization.name}, plant {job.plant.name}"
    report.console().print(table({name: result}))
    if job.out is not None:
        report.write_json(job.out, result.as_json(**_evaluated(job)))
    if clip is not None:
        draw(clip, Path(str(job.video)))


def run_evaluation(job: EvalJob) -> "tuple[Evaluation, Clip | None]":
    """Plays the trials; the task's observation and action are those of the policy's contracts.

    Returns:
        What came of it and, if ``job.video`` is asked for, the trial to draw.
    """
    return _play(job, PolicyRuntime.load(locate(str(job.policy))))


def _evaluated(job: EvalJob) -> dict[str, Any]:
    """What a result tells of the question it answers."""
    return {
        "plant": job.plant.name,
        "randomization": job.randomization.name,
        "goal_law": job.goal.law,
        "threshold": job.goal.threshold,
        "time_limit": job.goal.time_limit,
        "max_successes": job.goal.max_successes,
        "seed": job.seed,
        "sample": job.sample,
        "policy": str(job.policy),
    }


def run_following(job: EvalJob, run_dir: Path) -> None:
    """Scores the checkpoints of a run as they appear; see ``policy.follow``."""
    try:
        follow(run_dir, lambda policy: _play(job, policy)[0], _settings(job), job.follow_idle, report.console())
    except KeyboardInterrupt:
        report.console().print("told to stop; started again, it goes on from here")


def _settings(job: EvalJob) -> dict[str, Any]:
    """What decides a score beside the policy: some of it for people, and a digest of all."""
    parts = {name: asdict(getattr(job, name)) for name in ("goal", "scene", "reset", "randomization", "plant")}
    return {
        "trials": job.trials,
        "seed": job.seed,
        "sample": job.sample,
        "goal": parts["goal"],
        "randomization": job.randomization.name,
        "plant": job.plant.name,
        "worlds_sha256": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
    }


def _play(job: EvalJob, policy: PolicyRuntime) -> "tuple[Evaluation, Clip | None]":
    task = TaskConfig(goal=job.goal, scene=job.scene, reset=job.reset)
    task = replace(task, action=policy.action_contract, policy_observation=list(policy.policy_contract.names))
    if job.randomization.learnt() and job.randomization.adr.ranges is None:
        raise ValueError(
            f"randomization {job.randomization.name} begins with ranges of no width; "
            "give those of a run: randomization.adr.ranges=RUN/adr.json"
        )
    # an evaluation tries no boundaries and moves no ranges
    randomization = replace(job.randomization, adr=replace(job.randomization.adr, frozen=True))
    arguments = (task, randomization, job.trials, job.seed, job.physics_threads, job.plant, job.sim)
    if job.video is None:
        env = ReorientEnv(*arguments)
        return evaluate(policy.to(env.device), env, _generator(job, env)), None
    from sim.video import RecordedEnv  # it loads what draws, which nothing else here needs

    env = RecordedEnv(*arguments, world=job.video_trial)
    return evaluate(policy.to(env.device), env, _generator(job, env)), env.clip


def _generator(job: EvalJob, env: ReorientEnv) -> torch.Generator | None:
    return torch.Generator(env.device).manual_seed(job.seed) if job.sample else None


def draw(clip: "Clip", video: Path) -> None:
    """Draws a trial into a video."""
    from sim.video import write_video

    write_video(video, clip)
