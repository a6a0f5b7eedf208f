"""Recipes: training runs one after the other, each beginning with what the one before it has learnt."""

import json
import shutil
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

RESULT = "result.json"
"""In the directory of a stage that is over."""
TIME_LIMIT = 80.0
"""Seconds per goal in an evaluation (D18 §6.2)."""

OWN = ("run", "resume", "out", "recipe", "train.steps", "train.minutes")
"""Keys of the whole chain, which no stage gets from the command line."""


def run_recipe(job: TrainJob, given: list[str]) -> int:
    """Runs the stages of a recipe that are not over yet; the better of the last two policies is that of the whole.

    With several ranks, all of them train, and rank 0 alone evaluates when the others have gone.

    Args:
        job: the whole.
        given: the overrides that asked for it; they hold for every stage.

    Raises:
        ValueError: if the directory of a stage exists, without ``resume``, and this launch has not begun it.
        UsageError: if a stage cannot be composed.
    """
    jobs = [_stage_job(stage, job, given) for stage in job.recipe.stages]
    names = [stage.name for stage in job.recipe.stages]
    evaluation(job, names[-1])  # refused now, or after hours
    with parallel.group():
        results, main = _run_stages(job, jobs), parallel.rank() == 0
    if results is None:
        return 130
    if main:
        report.console().rule(f"evaluation of {' and '.join(names[-2:])}")
        scores = choose(job, names[-2:])
        report.show("recipe", [{"policy": name, "successes per trial": score} for name, score in scores.items()])
        policy = str(Path(job.run) / POLICY)
        summary = {"stages": dict(zip(names, results, strict=True)), "evaluated": scores, "policy": policy}
        for path in (str(Path(job.run) / "recipe.json"), job.out):
            if path is not None:
                report.write_json(path, summary)
    return 0


def _stage_job(stage: Stage, job: TrainJob, given: list[str]) -> TrainJob:
    try:
        return load("train", TrainJob, stage_overrides(stage, job, given))
    except UsageError as error:
        raise UsageError(f"stage {stage.name} of the recipe: {error}") from error


def _run_stages(job: TrainJob, jobs: list[TrainJob]) -> list[dict[str, Any]] | None:
    """What came of each stage of ``job``, those included that were over before; None if one was interrupted."""
    resume = job.resume or relaunch.goes_on(Path(job.run))
    # rank 0 looks before any stage begins: what others saw later could already be its work
    states = parallel.from_main([StageState.of(Path(each.run)) for each in jobs])
    for each, state in zip(jobs, states, strict=True):
        if state.begun and not resume:
            raise ValueError(f"{each.run} has been trained in already; resume the recipe, or give another directory")
    relaunch.remember(Path(job.run))
    main = parallel.rank() == 0
    results: list[dict[str, Any]] = []
    for stage, each, state in zip(job.recipe.stages, jobs, states, strict=True):
        result = state.result
        if result is None:
            if main:
                report.console().rule(f"{stage.name}, {stage.share:.0%} of the budget")
            trained = run_training(replace(each, resume=state.begun))
            if main:
                show_result(each, trained)
            if trained.interrupted:
                return None
            result = figures(each, trained)
            if main:
                report.write_json(str(Path(each.run) / RESULT), result)
            parallel.barrier()  # the next stage reads what rank 0 has just written
        results.append(result)
    return results


def stage_overrides(stage: Stage, job: TrainJob, given: list[str]) -> list[str]:
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
