"""A training run between two updates: what all algorithms have in common."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any

from policy import parallel
from policy.artefact import Artefact
from policy.checkpoint import CheckpointError
from policy.curriculum import CurriculumConfig
from policy.network import Actor
from policy.progress import Row
from policy.train_config import RESUMABLE, TrainConfig, spent
from robot.hand import model_hash
from sim.vector_env import Adjustable, Difficulty, VectorEnv


class Run(ABC):
    """Everything of a run that a checkpoint holds, and one step further."""

    actor: Actor
    """The policy."""

    def __init__(self, config: TrainConfig, env: VectorEnv) -> None:
        self.config = config
        self.env = env
        self.period = env.action_contract.period
        self.updates = 0
        self.control_steps = 0
        self.elapsed = 0.0

    @abstractmethod
    def update(self) -> Row:
        """Some control steps and what is learnt from them; the row of the progress file."""

    @abstractmethod
    def successes(self) -> float | None:
        """Mean successes of the latest episodes; None before the first has ended."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; on rank 0, the others only give their parts.

        Raises:
            RanksDiffer: if the networks of the ranks have drifted apart.
        """

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from a checkpoint.

        Raises:
            CheckpointError: if it was made under other settings, or by another number of ranks.
        """

    @abstractmethod
    def begin_with(self, other: dict[str, Any]) -> None:
        """Takes over what another run has learnt, from its checkpoint.

        Raises:
            CheckpointError: if it has another network or other actions, or reads what this run does not observe.
        """

    @abstractmethod
    def begin_with_policy(self, policy: Artefact) -> None:
        """Takes over a policy alone; its critic, of which an artefact knows nothing, begins anew.

        Raises:
            CheckpointError: if it has another network or other actions, or reads what this run does not observe, or if
                nothing can be learnt without its critic.
        """

    @property
    def must_save(self) -> bool:
        """Whether the next update needs a checkpoint before it, however short ago the latest was."""
        return False

    def share(self) -> float:
        """Share of the budget that is spent."""
        return spent(self.config.steps, self.config.minutes, self.control_steps, self.elapsed)

    def over(self) -> bool:
        """Whether the budget is spent, or the successes that were asked for are reached; the same on all ranks."""
        until, successes = self.config.until, self.successes()
        return self.share() >= 1.0 or (until > 0.0 and successes is not None and successes >= until)

    def seconds_left(self, speed: float) -> float:
        """Estimated time until the budget is spent [s], at ``speed`` control steps per second."""
        config = self.config
        by_steps = (config.steps - self.control_steps) / speed if config.steps else float("inf")
        by_time = 60.0 * config.minutes - self.elapsed if config.minutes else float("inf")
        return max(0.0, min(by_steps, by_time))

    def counters(self) -> dict[str, Any]:
        """Where the run is, as the rows of the progress file have it."""
        return {
            "update": self.updates,
            "control_steps": self.control_steps,
            "simulated_hours": self.control_steps * self.period / 3600.0,
        }

    def settings(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        return {
            "config": asdict(self.config),
            "observation": {
                "policy": list(self.env.policy_contract.names),
                "critic": list(self.env.critic_contract.names),
            },
            "action": self.env.action_contract.describe(),
            "hand": model_hash(),
        }

    def spent(self) -> dict[str, Any]:
        """What of the budget is spent, for a checkpoint."""
        return {"updates": self.updates, "control_steps": self.control_steps, "elapsed": self.elapsed}

    def load_spent(self, state: dict[str, Any]) -> None:
        """Takes over what ``spent`` has put into a checkpoint."""
        self.updates, self.control_steps, self.elapsed = (
            state[name] for name in ("updates", "control_steps", "elapsed")
        )

    @staticmethod
    def own_part(state: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds for this rank alone.

        Raises:
            CheckpointError: if it was made by another number of ranks.
        """
        if len(state["ranks"]) != parallel.size():
            raise CheckpointError(
                f"the checkpoint is of a run of {len(state['ranks'])} ranks, this one has {parallel.size()}; "
                "resume with as many"
            )
        return state["ranks"][parallel.rank()]

    def require_fit(self, other: dict[str, Any]) -> None:
        """Raises CheckpointError if another run's checkpoint has another network, hand or actions."""
        present = self.settings()
        for part in ("action", "hand"):
            require_same(part, other.get(part), present[part])
        require_same("config.network", other["config"]["network"], present["config"]["network"])

    def require_settings(self, state: dict[str, Any]) -> None:
        """Raises CheckpointError if a checkpoint was made under other settings."""
        present = self.settings()
        for part in ("config", "observation", "action", "hand"):
            require_same(part, state.get(part), present[part])


def adjust(env: VectorEnv, curriculum: CurriculumConfig, control_steps: int) -> dict[str, float]:
    """Makes the worlds as hard as the curriculum says for now, and returns what that is, by name, for the log."""
    if not curriculum.scheduled:
        return {}
    if not isinstance(env, Adjustable):
        raise ValueError(f"train curriculum needs worlds with a difficulty; {type(env).__name__} has none")
    env.set_difficulty(Difficulty(**curriculum.at(control_steps)))
    return curriculum.metrics(control_steps)


def require_same(name: str, saved: object, present: object) -> None:
    """Refuses a checkpoint or a policy made under other settings, naming the first that differs."""
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
            require_same(f"{name}.{key}", saved[key], present[key])
    elif saved != present:
        raise CheckpointError(
            f"what was saved was made with {name} = {saved}, this run has {present}; these settings must be the same"
        )
