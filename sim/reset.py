"""How an episode begins: the hand half open, the block in a random orientation settled on the palm."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot import hand, rotation
from robot.checks import check_numbers
from sim.physics import Physics
from sim.scene import PALM_CENTER
from sim.settled import FirstState, SettledPool

HOME = {f"rh_{finger}J{n}": angle for finger in hand.COUPLED_FINGERS for n, angle in ((3, 0.35), (2, 0.35), (1, 0.15))}
HOME |= {"rh_LFJ5": 0.1, "rh_THJ4": 0.3, "rh_THJ1": 0.2}
"""Joint angles [rad] of the half-open hand; joints not named stand at zero."""

CACHED_TRIES = 3
"""States from the cache that a world is offered before its block falls anew."""


@dataclass(frozen=True)
class ResetConfig:
    """The distribution of first states, and what it may cost to draw them.

    Raises:
        ValueError: if a value is out of its range.
    """

    joint_noise: float = 0.03
    """Standard deviation of the hand's first joint angles and targets about the half-open hand, as a share of each
    joint's range; fingers that are spread more touch each other."""

    drop_from: float = 0.005
    """Clearance [m] between the palm and the lowest corner that the block can have when it is let go."""

    position_noise: float = 0.005
    """Standard deviation [m] of the block's position over the palm (robogym: 5 mm)."""

    settle_time: float = 0.6
    """Seconds for which the block is left to settle."""

    settled_speed: float = 0.2
    """Largest speed [m/s] of a block that counts as settled."""

    max_retries: int = 10
    """How often a world is tried again whose block did not settle on the palm."""

    cache: int = 256
    """How many settled states are kept to begin episodes from, 0 for none. Each comes from a world of the run, with its
    own draw of physics, and is seen with other faces each time."""

    cache_settle_time: float = 0.08
    """Seconds for which a block that comes from the cache is left to settle in its new world; not on a GPU."""

    refresh: float = 0.03
    """Share of resets that let a block fall anew though the cache is full; what settles replaces the oldest states. Not
    on a GPU, where the cache is filled once, when all worlds are reset."""

    def __post_init__(self) -> None:
        check_numbers("reset", self, "joint_noise", "drop_from", "position_noise", "max_retries", "cache", least=0)
        check_numbers("reset", self, "settle_time", "settled_speed", "cache_settle_time", above=0.0)
        check_numbers("reset", self, "refresh", above=0.0, most=1.0)


def home_joint_pos() -> Tensor:
    """Joint angles [rad] of the half-open hand, (24,)."""
    return torch.tensor([HOME.get(name, 0.0) for name in hand.JOINT_NAMES])


def draw_first_state(config: ResetConfig, half_diagonal: Tensor, generator: torch.Generator) -> FirstState:
    """The half-open hand, and the block above its palm in any orientation, touching nothing.

    ``half_diagonal`` is the distance from the block's centre to its corner in every world [m], (m,).
    """
    m, device = len(half_diagonal), half_diagonal.device
    spread = torch.tensor([joint.upper - joint.lower for joint in hand.JOINTS], device=device)
    noise = torch.randn(m, hand.NUM_JOINTS, generator=generator, device=device)
    joints = home_joint_pos().to(device) + config.joint_noise * spread * noise
    noise = torch.randn(m, 3, generator=generator, device=device)
    pos = torch.tensor(PALM_CENTER, device=device) + config.position_noise * noise
    pos[:, 1] -= half_diagonal + config.drop_from  # up is -y
    return FirstState(joints, hand.actuator_pos(joints), pos, rotation.random_uniform(m, generator))


class Unsettled(RuntimeError):
    """The blocks of some worlds cannot be brought to rest on the palm."""

    def __init__(self, worlds: Tensor, cause: str) -> None:
        super().__init__(f"the block did not settle in worlds {worlds[:5].tolist()}: {cause}")
        self.worlds = worlds


class Resetter:
    """Brings chosen worlds into a first state, without touching the others."""

    def __init__(self, config: ResetConfig, physics: Physics, generator: torch.Generator) -> None:
        self.config = config
        self.physics = physics
        self.generator = generator
        capacity = config.cache
        if not physics.can_step_some:
            if capacity == 0:
                raise ValueError("reset cache is 0; where worlds are only stepped together, 1 or more are needed")
            # filled by a first fall of all worlds, in some of which the block does not settle
            capacity = min(capacity, -(-physics.n // 2))
        self.pool = SettledPool(capacity, physics.device)

    def reset(self, ids: Tensor) -> dict[str, Tensor]:
        """Resets worlds ``ids``, (m,), and returns their measurement (see ``Physics.measure``).

        Raises:
            Unsettled: if the block of a world cannot be brought to rest on the palm; all others are ready.
        """
        if not self.physics.can_step_some:
            return self._reset_without_steps(ids)
        # one choice for all worlds of a call: a few that fall anew would keep the others waiting as long as all
        chance = float(torch.rand((), generator=self.generator, device=self.physics.device)) if self.pool.full else 0.0
        fresh = chance < self.config.refresh
        cached_tries = 0 if fresh else CACHED_TRIES
        tries = cached_tries + 1 + self.config.max_retries
        pending, faults = ids, {}
        for attempt in range(tries):
            limits = self.physics.joint_range(pending)
            if attempt < cached_tries:
                self._settle(pending, self.pool.draw(limits, self.generator), self.config.cache_settle_time)
            else:
                first = draw_first_state(self.config, self.physics.block_half_diagonal(pending), self.generator)
                self._settle(pending, first.within(limits), self.config.settle_time)
            measured = self.physics.measure(pending)
            faults = self._faults(pending, measured)
            failed = torch.stack(list(faults.values())).any(0)
            # worlds in which cached states did not settle are no fair sample of all: they add nothing
            if fresh:
                self.pool.add({name: value[~failed] for name, value in measured.items()})
            if not failed.any():
                return measured if pending is ids else self.physics.measure(ids)
            pending = pending[failed]
        causes = ", ".join(f"{fault} in {int(there.sum())}" for fault, there in faults.items() if there.any())
        raise Unsettled(pending, f"after {tries} tries, {causes}")

    def _settle(self, ids: Tensor, first: FirstState, seconds: float) -> None:
        self._place(ids, first)
        steps = max(1, round(seconds / self.physics.model.opt.timestep))
        self.physics.step(steps, ids if self.physics.can_step_some else None)

    def _place(self, ids: Tensor, first: FirstState) -> None:
        self.physics.reset(ids)
        self.physics.set_joints(ids, first.joint_pos)
        self.physics.set_block(ids, first.object_pos, first.object_quat)
        self.physics.set_target(first.joint_target, ids)
        self.physics.remember_target(ids)
        self.physics.forward(ids)

    def _reset_without_steps(self, ids: Tensor) -> dict[str, Tensor]:
        """Where worlds are only stepped together: if all are reset they fall, which fills the pool; some come from it.

        A state from the pool is not settled again in its new world, and the pool is only made anew when all are reset.
        """
        pending = ids
        if len(ids) == self.physics.n:
            first = draw_first_state(self.config, self.physics.block_half_diagonal(ids), self.generator)
            self._settle(ids, first.within(self.physics.joint_range(ids)), self.config.settle_time)
            measured = self.physics.measure(ids)
            failed = torch.stack(list(self._faults(ids, measured).values())).any(0)
            self.pool.add({name: value[~failed] for name, value in measured.items()})
            pending = ids[failed]
        if len(pending):
            if not self.pool.full:
                self.physics.check()  # for want of room for contacts nothing settles, either
                raise Unsettled(pending, f"{self.pool.added} of {self.pool.capacity} states (reset.cache) have settled")
            self._place(pending, self.pool.draw(self.physics.joint_range(pending), self.generator))
        return self.physics.measure(ids)

    def _faults(self, ids: Tensor, measured: dict[str, Tensor]) -> dict[str, Tensor]:
        """What keeps blocks from counting as settled on the palm, each (m,) bool."""
        return {
            "it lies below the palm": measured["object_pos"][:, 1] >= PALM_CENTER[1],  # up is -y
            "it moves": measured["object_linvel"].norm(dim=1) >= self.config.settled_speed,
            "the simulation diverged": self.physics.diverged(ids),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here; physics and generator are their owners'."""
        return {"pool": self.pool.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        self.pool.load_state_dict(state["pool"])
