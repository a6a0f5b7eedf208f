"""Recipes: training runs one after the other, each beginning with what the one before it has learnt."""

import json
import math
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inhand import report
from inhand.config import UsageError, load
from inhand.evaluate import EvalJob, run_evaluation
from inhand.launch import quoted
from inhand.recipe_config import Stage
from inhand.training import TrainJob, figures, run_training, show_result
from policy import parallel, relaunch
from policy.checkpoint import find
from policy.layout import CHECKPOINTS, POLICY

Result = dict[str, Any]
"""What came of a stage: ``training.figures``."""

RESULT = "result.json"
"""In the directory of a stage that is over."""
TIME_LIMIT = 80.0
"""Seconds per goal in an evaluation (D18 §6.2)."""

OWN = ("run", "resume", "out", "recipe", "train.steps", "train.minutes")
"""Keys of the whole chain, which no stage gets from the command line."""


def run_recipe(job: TrainJob, given: list[str]) -> int:
    """Runs the stages of a recipe that are not over yet; the better of the last two policies is that of the whole.

    A stage has its share of what those before it have left of the budget, and may end sooner, when its policy can do
    what was asked for (``train.until``). Where the budget is spent, the chain ends.

    With several ranks, all of them train, and rank 0 alone evaluates when the others have gone.

    Args:
        job: the whole.
        given: the overrides that asked for it; they hold for every stage.

    Raises:
        ValueError: if the directory of a stage exists, without ``resume``, and this launch has not begun it.
        UsageError: if a stage cannot be composed.
    """
    for stage in job.recipe.stages:  # what is wrong is refused now, or after hours
        _stage_job(stage, job, given, [])
        evaluation(job, stage.name)
    with parallel.group():
        results, main = _run_stages(job, given), parallel.rank() == 0
    if results is None:
        return 130
    if main:
        compared = list(results)[-2:]
        report.console().rule(f"evaluation of {' and '.join(compared)}")
        scores = choose(job, compared)
        report.show("recipe", [{"policy": name, "successes per trial": score} for name, score in scores.items()])
        policy = str(Path(job.run) / POLICY)
        summary = {"stages": results, "evaluated": scores, "policy": policy}
        for path in (str(Path(job.run) / "recipe.json"), job.out):
            if path is not None:
                report.write_json(path, summary)
    return 0


def _stage_job(stage: Stage, job: TrainJob, given: list[str], before: Collection[Result]) -> TrainJob:
    try:
        return load("train", TrainJob, stage_overrides(stage, job, given, before))
    except UsageError as error:
        raise UsageError(f"stage {stage.name} of the recipe: {error}") from error


def _run_stages(job: TrainJob, given: list[str]) -> dict[str, Result] | None:
    """What came of each stage of ``job``, those included that were over before; None if one was interrupted."""
    resume, run = job.resume or relaunch.goes_on(Path(job.run)), Path(job.run)
    # rank 0 looks before any stage begins: what others saw later could already be its work
    states = parallel.from_main([StageState.of(run / stage.name) for stage in job.recipe.stages])
    for stage, state in zip(job.recipe.stages, states, strict=True):
        if state.begun and not resume:
            raise ValueError(
                f"{run / stage.name} has been trained in already; resume the recipe, or give another directory"
            )
    relaunch.remember(run)
    main = parallel.rank() == 0
    results: dict[str, Result] = {}
    for stage, state in zip(job.recipe.stages, states, strict=True):
        result = state.result
        if result is None:
            if min(left(job, results.values())) <= 0.0:
                break
            if main:
                report.console().rule(f"{stage.name}, up to {stage.share:.0%} of what is left of the budget")
            each = _stage_job(stage, job, given, results.values())
            trained = run_training(replace(each, resume=state.begun))
            if main:
                show_result(each, trained)
            if trained.interrupted:
                return None
            result = figures(each, trained)
            if main:
                report.write_json(str(Path(each.run) / RESULT), result)
            parallel.barrier()  # the next stage reads what rank 0 has just written
        results[stage.name] = result
    return results


def left(job: TrainJob, before: Collection[Result]) -> tuple[float, float]:
    """Control steps and minutes that the stages before have left of the budget, infinite where it has no limit."""
    steps, minutes = job.train.steps or math.inf, job.train.minutes or math.inf
    used = [sum(result[name] for result in before) for name in ("control_steps", "elapsed")]
    return steps - used[0], minutes - used[1] / 60.0


def stage_overrides(stage: Stage, job: TrainJob, given: list[str], before: Collection[Result]) -> list[str]:
    """The command line of a stage of ``job``.

    Args:
        stage: the stage.
        job: the whole, which was asked for by the overrides ``given``.
        given: those overrides.
        before: what came of the stages before it.
    """
    run = Path(job.run)
    steps, minutes = (stage.share * part for part in left(job, before))
    kept = [text for text in given if text.partition("=")[0].lstrip("+~") not in OWN]
    return [
        *(_with_run(text, run) for text in stage.overrides),
        *kept,
        f"run={quoted(str(run / stage.name))}",
        f"train.steps={max(1, round(steps)) if steps < math.inf else 0}",
        f"train.minutes={minutes if minutes < math.inf else 0.0}",
    ]


def _with_run(text: str, run: Path) -> str:
    key, _, value = text.partition("=")
    return f"{key}={quoted(value.replace('{run}', str(run)))}" if "{run}" in value else text


@dataclass(frozen=True)
class StageState:
    """How far a stage has come."""

    begun: bool
    """It has a checkpoint."""

    result: Result | None
    """What came of it, if it is over."""

    @classmethod
    def of(cls, directory: Path) -> "StageState":
        """How far the stage in ``directory`` has come."""
        result = directory / RESULT
        over = json.loads(result.read_text()) if result.is_file() else None
        return cls(bool(find(directory / CHECKPOINTS)), over)


def evaluation(job: TrainJob, name: str) -> EvalJob:
    """How the policy of a stage is judged: at the task of the whole, with D18's time per goal, in all its worlds.

    Raises:
        ValueError: if the task and its worlds do not go together.
    """
    task = replace(job.task, goal=replace(job.task.goal, time_limit=TIME_LIMIT, near=0.0))
    return EvalJob(
        policy=str(Path(job.run) / name / POLICY),
        trials=job.recipe.trials,
        goal=task.goal,
        scene=task.scene,
        reset=task.reset,
        randomization=job.randomization,
        sim=job.sim,
        physics_threads=job.physics_threads,
    )


def choose(job: TrainJob, names: list[str]) -> dict[str, float]:
    """Evaluates the policies of stages, makes the best that of the whole, and returns their mean successes."""
    run = Path(job.run)
    scores = {name: run_evaluation(evaluation(job, name))[0].mean for name in names}
    best = max(scores, key=lambda name: scores[name])
    partial = run / ".policy.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(run / best / POLICY, partial)
    shutil.rmtree(run / POLICY, ignore_errors=True)
    partial.rename(run / POLICY)
    return scores
