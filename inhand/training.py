"""A single training run: its configuration, and what it leaves in its directory."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from inhand import report
from inhand.policies import locate
from inhand.recipe_config import RecipeConfig
from policy import artefact, parallel, relaunch
from policy.adr_curve import draw_adr_curve
from policy.checkpoint import find
from policy.curve import draw_curve
from policy.layout import CHECKPOINTS, POLICY, SETTINGS
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
    ships, which brings no critic. It has the same network and actions; task, randomization and learning may differ, and
    there may be more observation fields, which say nothing at first."""

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
    begun = bool(find(directory / CHECKPOINTS))
    if relaunch.goes_on(directory) and begun:
        job = replace(job, resume=True)
    if parallel.rank() == 0:
        _keep_settings(job, directory / SETTINGS)
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
        directory / POLICY,
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
    elif not job.resume and not find(path.parent / CHECKPOINTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        report.write_json(path, worlds)


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def show_result(job: TrainJob, result: TrainResult) -> None:
    """Prints what came of a run and, with ``out``, writes it as JSON."""
    policy = str(Path(job.run) / POLICY)
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
        report.write_json(job.out, figures(job, result))


def figures(job: TrainJob, result: TrainResult) -> dict[str, Any]:
    """What came of a run, as plain data."""
    kept = {name: value for name, value in vars(result).items() if name != "actor"}
    return kept | {"policy": str(Path(job.run) / POLICY)}
