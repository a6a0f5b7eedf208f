"""``inhand eval``: consecutive successes of a policy over N trials."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import MISSING

from inhand import report
from policy.evaluate import Evaluation, evaluate, table
from policy.runtime import PolicyRuntime
from randomization.config import RandomizationConfig
from robot.goal import GoalConfig
from robot.plant import PlantConfig
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

    policy: str = MISSING
    """Directory of the policy artefact."""

    trials: int = 100
    """Episodes, each in a world of its own (D18: 100)."""

    seed: int = 0
    """Of everything that is drawn."""

    sample: bool = False
    """Draw the actions, as in training, instead of taking the most probable ones."""

    goal: GoalConfig = field(default_factory=lambda: GoalConfig(time_limit=80.0))
    scene: SceneConfig = field(default_factory=SceneConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)

    plant: PlantConfig = field(default_factory=PlantConfig)
    """The model of the hand: our own, on which policies train, or one that others wrote."""

    physics_threads: int = 0
    """CPU threads of the physics; 0 for all."""

    video: str | None = None
    """File for a video of one trial, .mp4."""

    video_trial: int = 0
    """Which trial the video shows, from 0."""

    out: str | None = None
    """File to write the result to, as JSON."""

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"trials is {self.trials}; 1 or more are needed")
        if not 0 <= self.video_trial < self.trials:
            raise ValueError(f"video_trial is {self.video_trial}; allowed: 0 to {self.trials - 1}")
        report.check_out(self.out)
        report.check_out(self.video, "video", ".mp4")


def run(job: EvalJob) -> None:
    """Evaluates, prints a row as in D18's Table 3; writes ``out`` as JSON and then, which may fail, draws ``video``."""
    result, clip = run_evaluation(job)
    name = f"block, {job.goal.law} goals, randomization {job.randomization.name}, plant {job.plant.name}"
    report.console().print(table({name: result}))
    if job.out is not None:
        report.write_json(job.out, result.as_json(job.plant.name, job.randomization.name, job.goal.law, job.policy))
    if clip is not None:
        draw(clip, Path(str(job.video)))


def run_evaluation(job: EvalJob) -> "tuple[Evaluation, Clip | None]":
    """Plays the trials; the task's observation and action are those of the policy's contracts.

    Returns:
        What came of it and, if ``job.video`` is asked for, the trial to draw.
    """
    policy = PolicyRuntime.load(Path(job.policy))
    task = TaskConfig(goal=job.goal, scene=job.scene, reset=job.reset)
    task = replace(task, action=policy.action_contract, policy_observation=list(policy.policy_contract.names))
    if job.randomization.learnt() and job.randomization.adr.ranges is None:
        raise ValueError(
            f"randomization {job.randomization.name} begins with ranges of no width; "
            "give those of a run: randomization.adr.ranges=RUN/adr.json"
        )
    # an evaluation tries no boundaries and moves no ranges
    randomization = replace(job.randomization, adr=replace(job.randomization.adr, frozen=True))
    arguments = (task, randomization, job.trials, job.seed, job.physics_threads, job.plant)
    generator = torch.Generator().manual_seed(job.seed) if job.sample else None
    if job.video is None:
        return evaluate(policy, ReorientEnv(*arguments), generator), None
    from sim.video import RecordedEnv  # it loads what draws, which nothing else here needs

    env = RecordedEnv(*arguments, world=job.video_trial)
    return evaluate(policy, env, generator), env.clip


def draw(clip: "Clip", video: Path) -> None:
    """Draws a trial into a video."""
    from sim.video import write_video

    write_video(video, clip)
