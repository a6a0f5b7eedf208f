"""The training loop: roll-outs and updates until the budget is spent, checkpoints on the way, exact resume."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from policy import checkpoint, parallel
from policy.checkpoint import CheckpointError
from policy.curriculum import CurriculumConfig
from policy.display import TrainDisplay
from policy.episodes import EpisodeStatistics
from policy.interrupt import InterruptRequest
from policy.network import Actor, Critic
from policy.ppo import PPO
from policy.progress import HOURS_PER_YEAR, ProgressWriter, Row
from policy.rollout import Collector
from policy.train_config import RESUMABLE, TrainConfig
from sim.vector_env import Adjustable, Difficulty, VectorEnv


@dataclass(frozen=True)
class TrainResult:
    """What a call of ``train`` did."""

    actor: Actor
    """The policy at the end, on the device of the simulation."""

    updates: int
    """Over the whole run, as all but the speeds."""

    control_steps: int
    elapsed: float
    """Seconds."""

    steps_per_second: float
    """Control steps per second since the start or the resume, simulation and learning together."""

    years_per_hour: float
    """Simulated years per hour since the start or the resume."""

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
) -> TrainResult:
    """Trains in ``env`` and leaves checkpoints, ``progress.jsonl`` and TensorBoard files in ``run_dir``.

    A resumed run goes on bit for bit as if it had not been stopped, on a CPU with the same number of threads.

    Args:
        config: the run; ``config.num_envs`` is that of ``env``.
        env: the worlds, freshly made; on a resume their state is replaced by the checkpoint's.
        run_dir: directory of the run.
        resume: go on from the newest checkpoint in ``run_dir`` that is whole.
        console: where the progress is shown.
        init: directory of another run, whose networks and optimizer a new run begins with; of that run's settings those
            of the networks, observations and actions must be the same.

    Raises:
        ValueError: if ``env`` does not fit ``config``.
        CheckpointError: if there is a checkpoint and no ``resume``, or ``resume`` and none that fits.
        FloatingPointError: if the simulation returns a value that is not finite.
    """
    if env.num_envs != config.num_envs:
        raise ValueError(f"train num_envs is {config.num_envs}, but the simulation has {env.num_envs} worlds")
    with parallel.main_first():  # it sets damaged checkpoints aside
        saved = _saved(run_dir / "checkpoints", resume)
    if threads := config.threads or parallel.threads():
        torch.set_num_threads(threads)
    run = _Run(config, env)
    if saved is not None:
        run.load_state_dict(saved)
    elif init is not None:
        run.begin_with(_newest(init / "checkpoints"))
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


def _saved(directory: Path, resume: bool) -> dict[str, Any] | None:
    paths = checkpoint.find(directory)
    if resume and not paths:
        raise CheckpointError(f"nothing to resume: no checkpoint in {directory}; start without resume")
    if not resume and paths:
        raise CheckpointError(
            f"{directory} already holds checkpoints of a run; resume it, or give the new run another directory"
        )
    return checkpoint.load_newest(directory) if resume else None


def _newest(directory: Path) -> dict[str, Any]:
    paths = checkpoint.find(directory)
    if not paths:
        raise CheckpointError(f"nothing to begin with: no checkpoint in {directory}")
    return checkpoint.load(paths[-1])


def _loop(run: "_Run", run_dir: Path, interrupt: InterruptRequest, tell: Callable[[Row, float], None]) -> TrainResult:
    config = run.config
    began, elapsed_before, steps_before = time.monotonic(), run.elapsed, run.control_steps
    saved_at, saved_update = run.elapsed, -1

    def save() -> None:
        nonlocal saved_at, saved_update
        state = run.state_dict()
        if parallel.rank() == 0:
            checkpoint.save(run_dir / "checkpoints", run.updates, state, config.keep_checkpoints)
        saved_at, saved_update = run.elapsed, run.updates

    if not run.updates:
        save()  # a run that is killed at any moment can be resumed
    speed, stop = 0.0, False
    while run.share() < 1.0 and not stop:
        row = run.update()
        run.elapsed, stop = parallel.agree(elapsed_before + time.monotonic() - began, interrupt.requested)
        speed = (run.control_steps - steps_before) / (run.elapsed - elapsed_before)
        row |= {
            "elapsed": run.elapsed,
            "steps_per_second": speed,
            "years_per_hour": _years(speed * 3600.0, run.period),
        }
        tell(row, run.seconds_left(speed))
        if run.elapsed - saved_at >= 60.0 * config.checkpoint_minutes:
            save()
    if saved_update != run.updates:
        save()
    return TrainResult(
        actor=run.actor,
        updates=run.updates,
        control_steps=run.control_steps,
        elapsed=run.elapsed,
        steps_per_second=speed,
        years_per_hour=_years(speed * 3600.0, run.period),
        successes=run.episodes.means()["successes"],
        interrupted=run.share() < 1.0,
    )


def _years(control_steps: float, period: float) -> float:
    return control_steps * period / 3600.0 / HOURS_PER_YEAR


class _Run:
    """Everything of a run that a checkpoint holds."""

    def __init__(self, config: TrainConfig, env: VectorEnv) -> None:
        self.config = config
        self.env = env
        self.period = env.action_contract.period
        weights = torch.Generator().manual_seed(config.seed)
        contract = env.action_contract
        self.actor = Actor(env.policy_contract.sizes, contract.size, contract.bins, config.network, weights)
        self.critic = Critic(env.critic_contract.sizes, config.network, weights)
        _adjust(env, config.curriculum, control_steps=0)
        observation = env.reset()
        device = observation.policy.device
        self.actor.to(device)
        self.critic.to(device)
        self.generator = torch.Generator(device).manual_seed(parallel.seed(config.seed + 1))
        self.collector = Collector(env, observation, self.actor, self.critic, config.ppo.chunk, self.generator)
        self.ppo = PPO(self.actor, self.critic, config.ppo, self.generator)
        self.episodes = EpisodeStatistics(config.num_envs, device)
        self.updates = 0
        self.control_steps = 0
        self.elapsed = 0.0

    def update(self) -> Row:
        """One roll-out and what is learnt from it; the row of the progress file."""
        began = time.perf_counter()
        curriculum = _adjust(self.env, self.config.curriculum, self.control_steps)
        rollout = self.collector.collect(self.config.horizon)
        collected = time.perf_counter()
        # the first roll-out only shows the normalizers what observations look like
        first = self.updates == 0
        metrics = {} if first else self.ppo.update(rollout)
        # after the update, so that roll-out and update see the same inputs
        self.actor.trunk.normalizer.update(rollout.policy)
        self.critic.trunk.normalizer.update(rollout.critic)
        self.episodes.update(rollout)
        self.updates += 1
        self.control_steps += self.config.horizon * self.config.num_envs * parallel.size()
        return {
            "update": self.updates,
            "control_steps": self.control_steps,
            "simulated_hours": self.control_steps * self.period / 3600.0,
            "rollout_seconds": collected - began,
            "update_seconds": time.perf_counter() - collected,
            **self.episodes.means(),
            **self.env.metrics(),
            **curriculum,
            **metrics,
        }

    def share(self) -> float:
        """Share of the budget that is spent."""
        config = self.config
        by_steps = self.control_steps / config.steps if config.steps else 0.0
        by_time = self.elapsed / (60.0 * config.minutes) if config.minutes else 0.0
        return max(by_steps, by_time)

    def seconds_left(self, speed: float) -> float:
        """Estimated time until the budget is spent [s], at ``speed`` control steps per second."""
        config = self.config
        by_steps = (config.steps - self.control_steps) / speed if config.steps else float("inf")
        by_time = 60.0 * config.minutes - self.elapsed if config.minutes else float("inf")
        return max(0.0, min(by_steps, by_time))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; on rank 0, the others only give their parts.

        Raises:
            RanksDiffer: if the networks of the ranks have drifted apart.
        """
        learnt = {
            "actor": dict(self.actor.state_dict()),
            "critic": dict(self.critic.state_dict()),
            "optimizer": self.ppo.optimizer.state_dict(),
        }
        parallel.require_equal(learnt)
        return (
            self._settings()
            | learnt
            | {
                "ranks": parallel.gather(
                    {
                        "collector": self.collector.state_dict(),
                        "generator": self.generator.get_state(),
                        "episodes": self.episodes.state_dict(),
                    }
                ),
                "updates": self.updates,
                "control_steps": self.control_steps,
                "elapsed": self.elapsed,
            }
        )

    def _settings(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        return {
            "config": asdict(self.config),
            "observation": {
                "policy": list(self.env.policy_contract.names),
                "critic": list(self.env.critic_contract.names),
            },
            "action": self.env.action_contract.describe(),
        }

    def begin_with(self, other: dict[str, Any]) -> None:
        """Takes over what another run has learnt."""
        present = self._settings()
        for part in ("observation", "action"):
            _require_same(part, other[part], present[part])
        _require_same("config.network", other["config"]["network"], present["config"]["network"])
        self.actor.load_state_dict(other["actor"])
        self.critic.load_state_dict(other["critic"])
        self.ppo.optimizer.load_state_dict(other["optimizer"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        present = self._settings()
        for part in ("config", "observation", "action"):
            _require_same(part, state[part], present[part])
        if len(state["ranks"]) != parallel.size():
            raise CheckpointError(
                f"the checkpoint is of a run of {len(state['ranks'])} ranks, this one has {parallel.size()}; "
                "resume with as many"
            )
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        self.ppo.optimizer.load_state_dict(state["optimizer"])
        own = state["ranks"][parallel.rank()]
        self.collector.load_state_dict(own["collector"])
        self.generator.set_state(own["generator"])
        self.episodes.load_state_dict(own["episodes"])
        self.updates = state["updates"]
        self.control_steps = state["control_steps"]
        self.elapsed = state["elapsed"]


def _adjust(env: VectorEnv, curriculum: CurriculumConfig, control_steps: int) -> dict[str, float]:
    """Makes the worlds as hard as they shall be after so many control steps; what that is, named for the log."""
    if not curriculum.scheduled:
        return {}
    if not isinstance(env, Adjustable):
        raise ValueError(f"train curriculum needs worlds with a difficulty; {type(env).__name__} has none")
    env.set_difficulty(Difficulty(**curriculum.at(control_steps)))
    return curriculum.metrics(control_steps)


def _require_same(name: str, saved: object, present: object) -> None:
    """Refuses a checkpoint made under other settings, naming the first that differs."""
    if isinstance(saved, dict) and isinstance(present, dict):
        for key in sorted(saved.keys() | present.keys()):
            if name == "config" and key in RESUMABLE:
                continue
            if key not in saved or key not in present:
                one, other = ("checkpoint's", "present") if key in saved else ("present", "checkpoint's")
                raise CheckpointError(
                    f"the {one} run has a setting {name}.{key}, the {other} run has none such; "
                    "resume with the version of inhand that began it"
                )
            _require_same(f"{name}.{key}", saved[key], present[key])
    elif saved != present:
        raise CheckpointError(
            f"the checkpoint was made with {name} = {saved}, this run has {present}; resume with the same settings"
        )
