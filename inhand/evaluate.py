"""``inhand eval``: consecutive successes of a policy over N trials."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from omegaconf import MISSING

from inhand import report
from policy.evaluate import Evaluation, evaluate, table
from policy.runtime import PolicyRuntime
from randomization.config import RandomizationConfig
from robot.goal import GoalConfig
from sim.env import ReorientEnv, TaskConfig
from sim.reset import ResetConfig
from sim.scene import SceneConfig
from sim.video import RecordedEnv, write_video

PLANT = "shadow"
"""Name of the plant in reports: our own model of the hand."""


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

    physics_threads: int = 0
    """CPU threads of the physics; 0 for all."""

    video: str | None = None
    """File for a video of one trial."""

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


def run(job: EvalJob) -> None:
    """Evaluates, prints a row as in D18's Table 3 and, with ``out``, writes it as JSON."""
    result = run_evaluation(job)
    name = f"block, {job.goal.law} goals, randomization {job.randomization.name}"
    report.console().print(table({name: result}))
    if job.out is not None:
        report.write_json(job.out, result.as_json(PLANT, job.randomization.name, job.goal.law, job.policy))


def run_evaluation(job: EvalJob) -> Evaluation:
    """Plays the trials; the task's observation and action are those of the policy's contracts."""
    policy = PolicyRuntime.load(Path(job.policy))
    task = TaskConfig(goal=job.goal, scene=job.scene, reset=job.reset)
    task = replace(task, action=policy.action_contract, policy_observation=list(policy.policy_contract.names))
    arguments = (task, job.randomization, job.trials, job.seed, job.physics_threads)
    env = RecordedEnv(*arguments, world=job.video_trial) if job.video else ReorientEnv(*arguments)
    generator = torch.Generator().manual_seed(job.seed) if job.sample else None
    result = evaluate(policy, env, generator)
    if isinstance(env, RecordedEnv):
        write_video(Path(str(job.video)), env.clip)
    return result
