"""Recipes: training runs one after the other, each beginning with what the one before it has learnt."""

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhand.evaluate import EvalJob, run_evaluation
from inhand.launch import quoted
from policy.checkpoint import find
from robot.checks import check_numbers

if TYPE_CHECKING:
    from inhand.train import TrainJob

RESULT = "result.json"
"""In the directory of a stage that is over."""
TIME_LIMIT = 80.0
"""Seconds per goal in an evaluation (D18 §6.2)."""

OWN = ("run", "resume", "out", "recipe", "train.steps", "train.minutes")
"""Keys of the whole chain, which no stage gets from the command line."""


@dataclass(frozen=True)
class Stage:
    """One run of a recipe.

    Raises:
        ValueError: if its share is out of range.
    """

    name: str
    """Name of its directory in that of the recipe."""

    share: float
    """Share of the budget."""

    overrides: list[str] = field(default_factory=list)
    """What it differs by, as on the command line; ``{run}`` stands for the directory of the whole."""

    def __post_init__(self) -> None:
        check_numbers(f"recipe stage {self.name}:", self, "share", above=0.0, most=1.0)


@dataclass(frozen=True)
class RecipeConfig:
    """A chain of runs; ``inhand/conf/recipe/`` names some.

    Raises:
        ValueError: if the shares are more than the whole, or two stages have one name.
    """

    stages: list[Stage] = field(default_factory=list)
    """The stages in their order; none for a single run."""

    trials: int = 100
    """Trials by which the last two policies are compared; the better one becomes that of the recipe."""

    def __post_init__(self) -> None:
        check_numbers("recipe", self, "trials", least=1)
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"recipe stages are {', '.join(names)}; each name may stand once")
        if sum(stage.share for stage in self.stages) > 1.0 + 1e-9:
            raise ValueError(f"recipe shares are {', '.join(str(s.share) for s in self.stages)}; allowed: 1 together")


@dataclass(frozen=True)
class StageState:
    """How far a stage has come."""

    begun: bool
    """It has a checkpoint."""

    result: dict[str, Any] | None
    """What came of it, if it is over."""

    @classmethod
    def of(cls, directory: Path) -> "StageState":
        """How far the stage in ``directory`` has come."""
        result = directory / RESULT
        over = json.loads(result.read_text()) if result.is_file() else None
        return cls(bool(find(directory / "checkpoints")), over)


def stage_overrides(stage: Stage, job: "TrainJob", given: list[str]) -> list[str]:
    """The command line of a stage of ``job``, which was asked for by the overrides ``given``."""
    run = Path(job.run)
    kept = [text for text in given if text.partition("=")[0].lstrip("+~") not in OWN]
    return [
        *(_with_run(text, run) for text in stage.overrides),
        *kept,
        f"run={quoted(str(run / stage.name))}",
        f"train.steps={round(stage.share * job.train.steps)}",
        f"train.minutes={stage.share * job.train.minutes}",
    ]


def _with_run(text: str, run: Path) -> str:
    key, _, value = text.partition("=")
    return f"{key}={quoted(value.replace('{run}', str(run)))}" if "{run}" in value else text


def evaluation(job: "TrainJob", name: str) -> EvalJob:
    """How the policy of a stage is judged: at the task of the whole, with D18's time per goal, in all its worlds.

    Raises:
        ValueError: if the task and its worlds do not go together.
    """
    task = replace(job.task, goal=replace(job.task.goal, time_limit=TIME_LIMIT, near=0.0))
    return EvalJob(
        policy=str(Path(job.run) / name / "policy"),
        trials=job.recipe.trials,
        goal=task.goal,
        scene=task.scene,
        reset=task.reset,
        randomization=job.randomization,
        sim=job.sim,
        physics_threads=job.physics_threads,
    )


def choose(job: "TrainJob", names: list[str]) -> dict[str, float]:
    """Evaluates the policies of stages, makes the best that of the whole, and returns their mean successes."""
    run = Path(job.run)
    scores = {name: run_evaluation(evaluation(job, name))[0].mean for name in names}
    best = max(scores, key=lambda name: scores[name])
    partial = run / ".policy.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(run / best / "policy", partial)
    shutil.rmtree(run / "policy", ignore_errors=True)
    partial.rename(run / "policy")
    return scores
