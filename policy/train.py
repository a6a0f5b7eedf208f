"""The training loop: roll-outs and updates until the budget is spent, checkpoints on the way, exact resume."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from policy import artefact, checkpoint, parallel
from policy.checkpoint import CheckpointError
from policy.display import TrainDisplay
from policy.interrupt import InterruptRequest
from policy.layout import CHECKPOINTS
from policy.network import Actor
from policy.progress import HOURS_PER_YEAR, ProgressWriter, Row
from policy.recurrent_run import RecurrentRun
from policy.run import Run
from policy.teacher import TeacherRun
from policy.train_config import TrainConfig
from sim.vector_env import VectorEnv


@dataclass(frozen=True)
class TrainResult:
    """What a call of ``train`` did."""

    actor: Actor
    """The policy at the end, on the device of the simulation."""

    updates: int
    """Over the whole run, sessions before a resume included, as all that follows."""

    control_steps: int
    elapsed: float
    """Seconds."""

    steps_per_second: float
    """Control steps per second, simulation and learning together."""

    years_per_hour: float
    """Simulated years per hour."""

    successes: float | None
    """Per episode, over the latest episodes; None if none has ended."""

    interrupted: bool
    """Ended by SIGINT or SIGTERM, with the budget unspent."""


def train(
    config: TrainConfig,
    env: VectorEnv,
    run_dir: Path,
    resume: bool = False,
    console: Console | None = None,
    init: Path | None = None,
    teacher: Path | None = None,
) -> TrainResult:
    """Trains in ``env`` and leaves checkpoints, ``progress.jsonl`` and TensorBoard files in ``run_dir``.

    A resumed run goes on bit for bit as if it had not been stopped, on a CPU with the same number of threads.

    Args:
        config: the run; ``config.num_envs`` is that of ``env``.
        env: the worlds, freshly made; on a resume their state is replaced by the checkpoint's.
        run_dir: directory of the run.
        resume: go on from the newest checkpoint in ``run_dir`` that is whole.
        console: where the progress is shown.
        init: directory of another run, whose networks and optimizer a new run begins with, or of a policy artefact,
            which has no critic; its settings of the network, observations and actions must be the same.
        teacher: directory of the policy artefact that distillation imitates.

    Raises:
        ValueError: if ``env`` or ``teacher`` does not fit ``config``.
        ArtefactError: if ``init`` or ``teacher`` is a policy that cannot be loaded.
        CheckpointError: if there is a checkpoint and no ``resume``, or ``resume`` and none that fits.
        FloatingPointError: if the simulation returns a value that is not finite.
    """
    if env.num_envs != config.num_envs:
        raise ValueError(f"train num_envs is {config.num_envs}, but the simulation has {env.num_envs} worlds")
    with parallel.main_first():  # it sets damaged checkpoints aside
        saved = _saved(run_dir / CHECKPOINTS, resume)
    if threads := config.threads or parallel.threads():
        torch.set_num_threads(threads)
    run = _new_run(config, env, run_dir, teacher)
    if saved is not None:
        run.load_state_dict(saved)
    elif init is not None:
        if (init / artefact.CONTRACT).is_file():
            run.begin_with_policy(artefact.load(init))
        else:
            run.begin_with(_newest(init))
    if parallel.rank() > 0:
        with InterruptRequest(quiet=True) as interrupt:
            return _loop(run, run_dir, interrupt, lambda row, seconds_left: None)
    run_dir.mkdir(parents=True, exist_ok=True)
    with (
        InterruptRequest() as interrupt,
        ProgressWriter(run_dir, run.updates) as writer,
        TrainDisplay(console) as display,
    ):

        def tell(row: Row, seconds_left: float) -> None:
            writer.write(row)
            display.show(row, seconds_left)

        return _loop(run, run_dir, interrupt, tell)


def _new_run(config: TrainConfig, env: VectorEnv, run_dir: Path, teacher: Path | None) -> Run:
    if (teacher is not None) != (config.algorithm == "distill"):
        raise ValueError(
            "distillation needs a teacher: teacher=RUN/policy"
            if teacher is None
            else f"teacher is {teacher}, but train.algorithm is {config.algorithm}; only distill imitates one"
        )
    if config.algorithm == "teacher":
        return TeacherRun(config, env, run_dir / "replay" / str(parallel.rank()))
    return RecurrentRun(config, env, None if teacher is None else artefact.load(teacher))


def _saved(directory: Path, resume: bool) -> dict[str, Any] | None:
    paths = checkpoint.find(directory)
    if resume and not paths:
        raise CheckpointError(f"nothing to resume: no checkpoint in {directory}; start without resume")
    if not resume and paths:
        raise CheckpointError(
            f"{directory} already holds checkpoints of a run; resume it, or give the new run another directory"
        )
    return checkpoint.load_newest(directory) if resume else None


def _newest(run_dir: Path) -> dict[str, Any]:
    paths = checkpoint.find(run_dir / CHECKPOINTS)
    if not paths:
        raise CheckpointError(f"nothing to begin with: {run_dir} has no checkpoints/ of a run, and is no policy")
    return checkpoint.load(paths[-1])


def _loop(run: Run, run_dir: Path, interrupt: InterruptRequest, tell: Callable[[Row, float], None]) -> TrainResult:
    config = run.config
    began, elapsed_before, steps_before = time.monotonic(), run.elapsed, run.control_steps
    saved_at, saved_update = run.elapsed, -1

    def save() -> None:
        nonlocal saved_at, saved_update
        state = run.state_dict() | {"over": run.over()}
        if parallel.rank() == 0:
            checkpoint.save(run_dir / CHECKPOINTS, run.updates, state, config.keep_checkpoints)
        saved_at, saved_update = run.elapsed, run.updates

    if not run.updates:
        save()  # a run that is killed at any moment can be resumed
    stop = False
    while not run.over() and not stop:
        row = run.update()
        run.elapsed, stop = parallel.agree(elapsed_before + time.monotonic() - began, interrupt.requested)
        speed = (run.control_steps - steps_before) / (run.elapsed - elapsed_before)
        row |= {
            "elapsed": run.elapsed,
            "steps_per_second": speed,
            "years_per_hour": _years(speed * 3600.0, run.period),
        }
        tell(row, run.seconds_left(speed))
        if run.elapsed - saved_at >= 60.0 * config.checkpoint_minutes or run.must_save:
            save()
    if saved_update != run.updates:
        save()
    overall = run.control_steps / run.elapsed if run.elapsed else 0.0
    return TrainResult(
        actor=run.actor,
        updates=run.updates,
        control_steps=run.control_steps,
        elapsed=run.elapsed,
        steps_per_second=overall,
        years_per_hour=_years(overall * 3600.0, run.period),
        successes=run.successes(),
        interrupted=not run.over(),
    )


def _years(control_steps: float, period: float) -> float:
    return control_steps * period / 3600.0 / HOURS_PER_YEAR
