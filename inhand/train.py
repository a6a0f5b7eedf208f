"""``inhand train``: LSTM PPO in randomized simulation, and the policy artefact that comes of it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from inhand import report
from inhand.config import UsageError, load
from inhand.policies import locate
from inhand.recipe import RESULT, RecipeConfig, Stage, StageState, choose, evaluation, stage_overrides
from policy import artefact, parallel, relaunch
from policy.adr_curve import draw_adr_curve
from policy.checkpoint import find
from policy.curve import draw_curve
from policy.train import TrainConfig, TrainResult, train
from randomization.config import RandomizationConfig
from robot.checks import check_numbers
from sim.backend import SimConfig
from sim.env import ReorientEnv
from sim.task import TaskConfig


@dataclass(frozen=True)
class TrainJob:
    """A training run."""

    run: str = "outputs/train"
    """Directory of the run: checkpoints, progress, curve, and the policy in ``policy/``."""

    resume: bool = False
    """Go on from the newest checkpoint in the directory of the run."""

    init: str | None = None
    """Directory of another run, whose networks this one begins with; or a policy, its directory or the name of one that
    ships, which brings no critic. It has the same network, observations and actions; task, randomization and learning
    may differ."""

    teacher: str | None = None
    """Directory of the policy artefact, or the name of a shipped one, that ``algo=distill`` imitates."""

    physics_threads: int = 0
    """CPU threads of the physics; 0 for all, or each rank's share."""

    task: TaskConfig = field(default_factory=TaskConfig)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    sim: SimConfig = field(default_factory=SimConfig)
    """What steps the worlds: the CPU or a GPU."""

    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    """A chain of runs instead of one; ``train.steps`` and ``train.minutes`` are the budget of all."""

    out: str | None = None
    """File to write the result to, as JSON."""

    def __post_init__(self) -> None:
        check_numbers("", self, "physics_threads", least=0)
        report.check_out(self.out)


def run(job: TrainJob) -> int:
    """Trains, exports the policy, prints what came of it and, with ``out``, writes it as JSON."""
    _refuse_other_use(job)
    if job.recipe.stages:
        return run_recipe(job, list(HydraConfig.get().overrides.task))
    with parallel.group():
        result = run_training(job)
        if parallel.rank() == 0:
            _tell(job, result)
    return 130 if result.interrupted else 0


def _refuse_other_use(job: TrainJob) -> None:
    """A recipe and a single run do not share a directory: each would take the place of the other's policy."""
    directory = Path(job.run)
    if job.recipe.stages and find(directory / "checkpoints"):
        raise ValueError(f"run={job.run} holds a single run; give the recipe another directory")
    stages = sorted(path.parent.name for path in directory.glob("*/checkpoints"))
    if stages and not job.recipe.stages:
        raise ValueError(
            f"run={job.run} holds other runs ({', '.join(stages)}); give another directory, or, "
            "if they are the stages of a recipe, name it: recipe=NAME resume=true"
        )


def _tell(job: TrainJob, result: TrainResult) -> None:
    policy = str(Path(job.run) / "policy")
    report.show(
        "training",
        [
            {
                "control steps": result.control_steps,
                "steps/s": result.steps_per_second,
                "simulated years/h": result.years_per_hour,
                "successes per episode": result.successes,
                "policy": policy,
            }
        ],
    )
    if job.out is not None:
        report.write_json(job.out, _figures(job, result))


def _figures(job: TrainJob, result: TrainResult) -> dict[str, Any]:
    figures = {name: value for name, value in vars(result).items() if name != "actor"}
    return figures | {"policy": str(Path(job.run) / "policy")}


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
        policy = str(Path(job.run) / "policy")
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
                _tell(each, trained)
            if trained.interrupted:
                return None
            result = _figures(each, trained)
            if main:
                report.write_json(str(Path(each.run) / RESULT), result)
            parallel.from_main(None)  # the next stage reads what rank 0 has just written
        results.append(result)
    return results


def run_training(job: TrainJob) -> TrainResult:
    """Trains and leaves in the directory of the run the policy artefact, the curve and, with ADR, its ranges.

    With several ranks, rank 0 leaves them; a run that was started again because one was lost goes on by itself.
    """
    directory = Path(job.run)
    if job.randomization.learnt() and parallel.size() > 1:
        raise ValueError(
            f"randomization {job.randomization.name} adapts its ranges, which every rank would do by itself: "
            "train it on one rank"
        )
    begun = bool(find(directory / "checkpoints"))
    if relaunch.goes_on(directory) and begun:
        job = replace(job, resume=True)
    if parallel.rank() == 0:
        _keep_settings(job, directory / "settings.json")
    if job.resume == begun:  # else the run is refused
        relaunch.remember(directory)
    seed, threads = parallel.seed(job.train.seed), job.physics_threads or parallel.threads()
    env = ReorientEnv(job.task, job.randomization, job.train.num_envs, seed, threads, sim=job.sim)
    result = train(
        job.train,
        env,
        directory,
        job.resume,
        init=None if job.init is None or job.resume else locate(job.init),
        teacher=None if job.teacher is None else locate(job.teacher),
    )
    if parallel.rank() > 0:
        return result
    artefact.save(
        directory / "policy",
        result.actor,
        env.policy_contract,
        env.action_contract,
        job.train.network,
        asdict(job) | {"control_steps": result.control_steps, "updates": result.updates},
    )
    if result.successes is not None:
        draw_curve(directory, directory / "curve.png")
    if env.adr is not None:
        env.adr.save(directory / "adr.json")
        if result.updates:
            draw_adr_curve(directory, directory / "adr.png")
    return result


def _keep_settings(job: TrainJob, path: Path) -> None:
    """Writes down what the worlds of a new run are like, and refuses to resume a run in others."""
    parts = {"task": asdict(job.task), "randomization": asdict(job.randomization), "sim.backend": job.sim.backend}
    worlds = json.loads(json.dumps(parts))
    if job.resume and path.is_file():
        saved, asked = dict(_leaves(json.loads(path.read_text()))), dict(_leaves(worlds))
        for key in sorted(saved.keys() | asked.keys()):
            if saved.get(key) != asked.get(key):
                was, now = (f"{key}={each[key]}" if key in each else f"no {key}" for each in (saved, asked))
                raise ValueError(f"the run was started with {was}, this asks for {now}; resume it as it was")
    elif not job.resume and not find(path.parent / "checkpoints"):
        path.parent.mkdir(parents=True, exist_ok=True)
        report.write_json(path, worlds)


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
