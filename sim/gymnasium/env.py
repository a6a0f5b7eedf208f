"""One world as a Gymnasium ``Env``."""

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from randomization.config import RandomizationConfig
from robot.plant import SHADOW, PlantConfig
from sim.gymnasium.spaces import Fields, fields_of, of_world
from sim.gymnasium.vector_env import Info, ReorientBlockVectorEnv
from sim.task import TaskConfig


class ReorientBlockEnv(gymnasium.Env[Fields, np.ndarray]):
    """One world of the task; see ``ReorientBlockVectorEnv``, whose numbers with one world are the same."""

    def __init__(
        self,
        task: TaskConfig,
        randomization: RandomizationConfig,
        plant: PlantConfig = SHADOW,
        critic: bool = False,
        threads: int = 1,
        render_mode: str | None = None,
    ) -> None:
        """Takes and raises what ``ReorientBlockVectorEnv`` does."""
        self.batch = ReorientBlockVectorEnv(1, task, randomization, plant, critic, threads, render_mode)
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self.state_space = self.batch.state_space
        self.metadata = {name: self.batch.metadata[name] for name in ("render_modes", "render_fps")}
        self.render_mode = render_mode
        self._next: tuple[Fields, Info] | None = None

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Fields, Info]:
        """Starts a new episode.

        Raises:
            ValueError: if there are ``options``; none is known.
        """
        super().reset(seed=seed)
        if seed is not None or options or self._next is None:
            observation, info = self.batch.reset(seed=seed, options=options)
            first = of_world(observation, 0), _of_world(info)
        else:
            first = self._next  # the batch has begun it already
        self._next = None
        return first

    def step(self, action: np.ndarray) -> tuple[Fields, float, bool, bool, Info]:
        """Advances the world by one control period.

        Raises:
            ValueError: if ``action`` is none of the action space; unit actions beyond ±1 are cut.
            ResetNeeded: before the first reset and after the end of an episode.
        """
        if self._next is not None:
            raise ResetNeeded("the episode has ended; reset the environment")
        batch, reward, terminated, truncated, infos = self.batch.step(np.asarray(action)[None])
        observation, info = of_world(batch, 0), _of_world(infos)
        if "final_obs" in info:
            last, last_info = info.pop("final_obs"), info.pop("final_info")
            self._next = observation, info
            observation, info = last, last_info
        return observation, float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def state(self) -> Fields:
        """What the critic sees, clean, as in ``state_space``; skrl asks for it."""
        worlds = self.batch.worlds
        critic = worlds.critic() if self._next is None else worlds.ending.observation.critic
        return of_world(fields_of(self.batch.critic_contract, critic), 0)

    def render(self) -> np.ndarray | None:
        """A frame of the world, (480, 640, 3) uint8, with its goal; None without a render mode."""
        worlds, painter = self.batch.worlds, self.batch.painter
        if painter is None:
            return None
        return painter.paint(worlds.moment(0) if self._next is None else worlds.ending.moment)

    def close(self) -> None:
        """Frees the renderer."""
        self.batch.close()


def _of_world(info: Info) -> Info:
    """The info of a batch's only world."""
    return {
        name: _of_world(value) if isinstance(value, dict) else value[0]
        for name, value in info.items()
        if not name.startswith("_")
    }
