"""The reorientation task: a batch of hands, each turning its block to one goal orientation after another (D18)."""

import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from randomization.acting import Acting
from randomization.adr import ADR
from randomization.config import RandomizationConfig
from randomization.disturbing import RandomForce, Timing
from randomization.draws import Source
from randomization.sensing import Sensing
from robot import hand
from robot.action import ActionPath
from robot.goal import GoalTracker, dropped
from robot.observation import ObservationContract
from robot.plant import SHADOW, PlantConfig
from sim.backend import SimConfig, make_physics
from sim.equipment import equip
from sim.hidden import Hidden
from sim.randomize import PhysicsRandomizer
from sim.reset import Resetter, Unsettled
from sim.scene import build_spec
from sim.task import TaskConfig
from sim.vector_env import Difficulty, Observation, Step

log = logging.getLogger(__name__)

GOLDEN_RATIO = 0.5 * (1.0 + 5.0**0.5)
REDRAWS = 5
"""How often worlds in which no block comes to rest get other physics, before that is an error."""


class ReorientEnv:
    """``n`` worlds of the task; a ``VectorEnv``."""

    def __init__(
        self,
        task: TaskConfig,
        randomization: RandomizationConfig,
        n: int,
        seed: int,
        threads: int = 0,
        plant: PlantConfig = SHADOW,
        sim: SimConfig | None = None,
    ) -> None:
        """``threads`` is the number of CPU threads for physics, 0 for all; every draw comes from ``seed``.

        ``sim`` says what steps the worlds, ``mujoco.batch`` if it is not given.
        """
        self.task = task
        self.plant = plant
        self.num_envs = n
        self.policy_contract = ObservationContract(tuple(task.policy_observation))
        self.critic_contract = ObservationContract(tuple(task.critic_observation))
        self.action_contract = task.action
        spec = build_spec(task.scene, plant)
        equip(spec, randomization, plant)
        self.physics = make_physics(spec.compile(), n, threads, sim or SimConfig())
        self.device = self.physics.device
        self.generator = torch.Generator(self.device).manual_seed(seed)

        period = task.action.period
        learnt = randomization.learnt()
        self.adr = None
        if learnt:
            self.adr = ADR(randomization.adr, list(learnt), n, self.generator, list(learnt.values()))
        self.source = source = Source(self.generator, self.adr)
        self.randomizer = PhysicsRandomizer(randomization.physics, self.physics, source)
        self.sensing = Sensing(randomization, n, source, period, self.policy_contract.measured)
        self.acting = Acting(randomization, n, source, period)
        self.force = RandomForce(randomization.force, n, source, period) if randomization.force else None
        self.timing = Timing(randomization.timing, n, source, period) if randomization.timing else None
        self.resetter = Resetter(task.reset, self.physics, self.generator)
        self.goals = GoalTracker(task.goal, n, self.generator, period)
        self.path = ActionPath(task.action, n, self.device)
        asked = {*self.policy_contract.measured, *self.critic_contract.measured}
        self.hidden = Hidden(self.physics, self.acting, self.path, asked)
        self.commanded = self.physics.joint_target().float()
        """Targets [rad] as the controller gave them, (n, 20): what a robot reports, whatever its joints get of them."""
        self.measurement = self.measure()
        """The exact values of the observation fields in the present state, the hidden ones if a contract names them."""
        self.diverged = 0
        """Episodes that ended, without a reward, because the simulation diverged."""

    def set_difficulty(self, difficulty: Difficulty) -> None:
        """Applies a difficulty to all worlds from now on; it is no part of ``state_dict``.

        The threshold holds from the next step on, the goal law from the next goal of a world, gravity and what is drawn
        for an episode from its next episode, and noise of single steps from the next step.

        Raises:
            ValueError: if a value is out of its range, a share of the randomization is asked for beside automatic
                domain randomization, which would take the successes of milder worlds for those at its boundaries, or
                less gravity on a GPU.
        """
        most = difficulty.randomization
        least = most if difficulty.mildest is None else difficulty.mildest
        if least < 1.0 and self.adr is not None:
            raise ValueError(
                f"difficulty randomization is {least} in the mildest world; with automatic domain randomization, "
                "which grows the ranges by itself, allowed: 1"
            )
        if difficulty.gravity != 1.0 and not self.physics.can_step_some:
            raise ValueError(
                f"difficulty gravity is {difficulty.gravity}; on a GPU all first states are made once, and later ones "
                "would begin as blocks lay then; allowed: 1"
            )
        goal = self.task.goal
        law = goal.law if difficulty.goal_law is None else difficulty.goal_law
        threshold = goal.threshold if difficulty.threshold is None else difficulty.threshold
        near = goal.near if difficulty.near is None else difficulty.near
        self.goals.config = replace(goal, law=law, threshold=threshold, near=near)
        self.randomizer.set_gravity(difficulty.gravity)
        self.source.share = most if least == most else least + (most - least) * self._places()

    def _places(self) -> Tensor:
        """Evenly spaced shares in [0, 1], (n,), scattered so that nothing else that differs by world goes with them."""
        # multiples of the golden ratio: whatever goes by the worlds' numbers meets every share
        order = (GOLDEN_RATIO * torch.arange(self.num_envs, dtype=torch.float64)).frac().argsort().argsort()
        return (order / max(self.num_envs - 1, 1)).float().to(self.device)

    def reset(self) -> Observation:
        """Starts a new episode in every world."""
        self._reset(torch.arange(self.num_envs, device=self.device))
        return self._observe()

    def step(self, action: Tensor) -> Step:
        """Advances every world by one control period under unit actions (n, 20)."""
        self._act(action)
        if self.force is not None:
            self.physics.push(self.force.step())
        if self.timing is not None:
            self.physics.set_timestep(self.task.scene.timestep + self.timing.step() / self.task.substeps)
        self.physics.step(self.task.substeps)
        self.measurement = self.measure()

        lost = self._lost()
        fallen = dropped(self.measurement["object_pos"]) & ~lost
        goal = self.goals.step(self.measurement["object_quat"])
        earned = self.task.reward.of(goal.progress, goal.remaining, goal.reached, fallen)
        reward = earned.masked_fill_(lost, 0.0)
        terminated = fallen | lost
        truncated = (goal.timed_out | goal.finished) & ~terminated
        done = terminated | truncated
        successes = self.goals.successes - (goal.reached & lost).long()
        critic = self._critic()
        final_critic = torch.where(lost.unsqueeze(1), torch.nan, critic)
        ended = done.nonzero().squeeze(-1)
        if self.adr is not None:
            self.adr.finish(ended, successes[ended])
        if len(ended):
            self._reset(ended)
            critic = self._critic()
        return Step(self._observe(critic), reward, terminated, truncated, final_critic, successes)

    def _act(self, action: Tensor) -> None:
        """Sends the motors where the action, and what befalls it on its way, wants them."""
        present = hand.actuator_pos(self.measurement["joint_pos"])
        target = self.path.step(self.acting.disturb(action, self.measurement), present)
        self.physics.set_target(self.acting.transmit(target, present, self.path.stroke))
        self.commanded = target.clone()

    def measure(self) -> dict[str, Tensor]:
        """The exact values of every observation field but those of the goal, in the present state, (n, …)."""
        return self.physics.measure() | {"joint_target": self.commanded} | self.hidden.measure()

    def _lost(self) -> Tensor:
        lost = self.physics.diverged()
        if lost.any():
            self.diverged += int(lost.sum())
            log.warning("the simulation diverged in %d worlds, %d so far; they start anew", lost.sum(), self.diverged)
        return lost

    def randomize(self, ids: Tensor) -> None:
        """Draws the physics and imperfections of a new episode for worlds ``ids``, (m,), in whatever state they are."""
        if self.adr is not None:
            self.adr.draw(ids)
        self._draw(ids)

    def _draw(self, ids: Tensor) -> None:
        self.randomizer.reset(ids)
        for part in (self.sensing, self.acting, self.force, self.timing):
            if part is not None:
                part.reset(ids)
        if self.timing is not None:
            self.physics.set_timestep(self.task.scene.timestep, ids)

    def _settle(self, ids: Tensor) -> dict[str, Tensor]:
        """Brings worlds ``ids`` into a first state, under new physics, and measures them."""
        self.randomize(ids)
        pending, tries = ids, 0
        while True:
            tries += 1
            try:
                measured = self.resetter.reset(pending)
                return measured if pending is ids else self.physics.measure(ids)
            except Unsettled as error:
                if tries > REDRAWS:
                    raise
                log.warning("%s; another draw of physics is tried", error)
                pending = error.worlds
                if self.adr is not None:
                    # in such a world nothing can be reached; ranges that are too wide shall not hold up a run
                    self.adr.finish(pending, torch.zeros(len(pending), device=self.device))
                    self.adr.calibrate(pending)
                self._draw(pending)

    def _reset(self, ids: Tensor) -> None:
        fresh = self._settle(ids)
        for name, value in fresh.items():
            self.measurement[name][ids] = value
        self.goals.reset(ids, fresh["object_quat"])
        self.path.reset(ids, hand.actuator_pos(fresh["joint_pos"]))
        self.measurement |= self.hidden.measure()

    def _observe(self, critic: Tensor | None = None) -> Observation:
        seen = self.sensing.apply(self.measurement, self.physics.touched()) | {"goal_quat": self.goals.quat}
        return Observation(self.policy_contract.vector(seen), self._critic() if critic is None else critic)

    def _critic(self) -> Tensor:
        return self.critic_contract.vector(self.measurement | {"goal_quat": self.goals.quat})

    def metrics(self) -> dict[str, float]:
        """Scalars worth logging; called after each update, it also refuses to go on where something was lost."""
        self.physics.check()
        return {"diverged": self.diverged} | (self.adr.metrics() if self.adr is not None else {})

    def _parts(self) -> dict[str, Any]:
        """Everything with a state of its own."""
        parts = {
            "physics": self.physics,
            "resetter": self.resetter,
            "sensing": self.sensing,
            "acting": self.acting,
            "force": self.force,
            "timing": self.timing,
            "adr": self.adr,
            "goals": self.goals,
            "action_path": self.path,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, generators included."""
        own = {
            "num_envs": self.num_envs,
            "generator": self.generator.get_state(),
            "diverged": self.diverged,
            "commanded": self.commanded.clone(),
        }
        return own | {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        worlds = state["num_envs"]
        if worlds != self.num_envs:
            raise ValueError(f"the saved simulation has {worlds} worlds, this one {self.num_envs}")
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.diverged = state["diverged"]
        self.commanded = state["commanded"].to(self.device, copy=True)
        self.measurement = self.measure()
