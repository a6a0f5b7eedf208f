"""A batch of worlds as a Gymnasium ``VectorEnv``."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from randomization.config import RandomizationConfig
from robot.observation import ObservationContract
from robot.plant import SHADOW, PlantConfig
from sim.gymnasium.painter import RENDER_MODES, Painter
from sim.gymnasium.spaces import Fields, action_space, fields_of, fields_space, of_world, unit_action
from sim.gymnasium.worlds import Worlds
from sim.task import TaskConfig
from sim.vector_env import Observation

Info = dict[str, Any]


class ReorientBlockVectorEnv(VectorEnv[Fields, np.ndarray, np.ndarray]):
    """``num_envs`` worlds of the task, stepped together, with the very numbers of ``ReorientEnv``.

    An observation has the fields of the policy's contract; with ``critic`` those of both contracts, as
    ``{"policy": {...}, "critic": {...}}``. An action is a unit action (20,) or, where the action contract has ``bins``,
    the class of each actuator. Worlds whose episode ends start anew in the same step. ``info`` holds the ``successes``
    of the episode so far and the ``goal_distance``, the angle to go [rad].
    """

    painter: Painter | None = None

    def __init__(
        self,
        num_envs: int,
        task: TaskConfig,
        randomization: RandomizationConfig,
        plant: PlantConfig = SHADOW,
        critic: bool = False,
        threads: int = 0,
        render_mode: str | None = None,
    ) -> None:
        """``threads`` is the number of CPU threads for physics, 0 for all.

        Raises:
            ValueError: if there is no such ``num_envs`` or ``render_mode``.
            RenderingUnavailable: if frames are asked for and this machine cannot make them.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; 1 or more are needed")
        self.num_envs = num_envs
        self.task, self.randomization, self.plant = task, randomization, plant
        self.critic, self.threads = critic, threads
        self.policy_contract = ObservationContract(tuple(task.policy_observation))
        self.critic_contract = ObservationContract(tuple(task.critic_observation))
        self.state_space = fields_space(self.critic_contract)
        self.policy_space = fields_space(self.policy_contract)
        both = spaces.Dict(policy=self.policy_space, critic=self.state_space)
        self.single_observation_space = both if critic else self.policy_space
        self.single_action_space = action_space(task.action)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_modes": list(RENDER_MODES),
            "render_fps": 1.0 / task.action.period,
        }
        self.render_mode = render_mode
        if render_mode is not None:
            self.painter = Painter(plant, render_mode)
        self._worlds: Worlds | None = None

    @property
    def worlds(self) -> Worlds:
        """The simulation.

        Raises:
            ResetNeeded: before the first reset.
        """
        if self._worlds is None:
            raise ResetNeeded("the environment has not been reset yet")
        return self._worlds

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Fields, Info]:
        """Starts a new episode in every world; with ``seed``, those of ``ReorientEnv`` with that seed.

        Raises:
            ValueError: if there are ``options``; none is known.
        """
        if options:
            raise ValueError(f"unknown reset options: {', '.join(options)}; allowed: none")
        super().reset(seed=seed)
        if seed is not None or self._worlds is None:
            drawn = int(self.np_random.integers(2**63)) if seed is None else seed
            arguments = (self.task, self.randomization, self.num_envs, drawn, self.threads, self.plant)
            self._worlds = Worlds(*arguments, last_noise=self.np_random)
        return self.fields(self._worlds.reset()), self._info()

    def step(self, actions: np.ndarray) -> tuple[Fields, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Advances every world by one control period.

        Raises:
            ValueError: if ``actions`` are none of the action space; unit actions beyond ±1 are cut.
            ResetNeeded: before the first reset.
        """
        step = self.worlds.step(unit_action(self.task.action, self.num_envs, actions))
        info, done = self._info(), step.done.numpy()
        if done.any():
            info |= _masked(done, final_obs=self._final_obs(done), final_info=self._final_info(step.successes, done))
        fields = self.fields(step.observation)
        return fields, step.reward.numpy(), step.terminated.numpy(), step.truncated.numpy(), info

    def state(self) -> Fields:
        """What the critic sees of each world, clean, as in ``state_space``; skrl asks for it."""
        return fields_of(self.critic_contract, self.worlds.critic())

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A frame of each world, (480, 640, 3) uint8, with its goal; None without a render mode."""
        if self.painter is None:
            return None
        return tuple(self.painter.paint(self.worlds.moment(world)) for world in range(self.num_envs))

    def close_extras(self, **_: Any) -> None:
        """Frees the renderer."""
        if self.painter is not None:
            self.painter.close()

    def fields(self, observation: Observation) -> Fields:
        """An observation as it lies in the observation space."""
        policy = fields_of(self.policy_contract, observation.policy)
        if not self.critic:
            return policy
        return {"policy": policy, "critic": fields_of(self.critic_contract, observation.critic)}

    def _info(self) -> Info:
        goals = self.worlds.goals
        successes, distance = goals.successes.numpy().copy(), goals.distance.numpy().copy()
        return _masked(np.ones(self.num_envs, bool), successes=successes, goal_distance=distance)

    def _final_info(self, successes: Tensor, done: np.ndarray) -> Info:
        distance = self.worlds.ending.goal_distance.numpy()
        return _masked(
            done, successes=np.where(done, successes, 0), goal_distance=np.where(done, distance, np.float32(0.0))
        )

    def _final_obs(self, done: np.ndarray) -> np.ndarray:
        fields = self.fields(self.worlds.ending.observation)
        final = np.full(self.num_envs, None, dtype=object)
        for world in np.flatnonzero(done).tolist():
            final[world] = of_world(fields, world)
        return final


def _masked(mask: np.ndarray, **entries: Any) -> Info:
    """Entries of a vector info that hold for the worlds in ``mask``, as Gymnasium wants them told."""
    return entries | {f"_{name}": mask.copy() for name in entries}
