"""Gymnasium-Robotics' hand and block, one process for each world; see ``serve.py``."""

import time

import gymnasium
import gymnasium_robotics  # pyright: ignore[reportMissingImports]
from gymnasium.vector import AsyncVectorEnv

PER_THREAD = (1, 2, 4)
"""Worlds for each thread that are tried: with more, a processor works on while a slow one of a step is waited for."""

TRIAL = 2.0
"""Seconds of each try."""

gymnasium.register_envs(gymnasium_robotics)


class Contestant:
    """Told uniformly random actions, in as many worlds as it is fastest with."""

    def __init__(self, threads: int) -> None:
        self._begin(max((threads * each for each in PER_THREAD), key=self._rate))
        self.facts = {"substep": self._envs.call("model")[0].opt.timestep, "worlds": self._worlds}
        self.amount = self._worlds * self._envs.call("dt")[0]

    def _rate(self, worlds: int) -> float:
        """World steps per second of a number of worlds."""
        self._begin(worlds)
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() < begin + TRIAL:
            self.step()
            steps += 1
        rate = worlds * steps / (time.perf_counter() - begin)
        self.close()
        return rate

    def _begin(self, worlds: int) -> None:
        self._worlds = worlds
        self._envs = AsyncVectorEnv([lambda: gymnasium.make("HandManipulateBlock-v1")] * worlds)
        self._envs.reset(seed=0)
        self._envs.action_space.seed(0)

    def step(self) -> None:
        self._envs.step(self._envs.action_space.sample())

    def close(self) -> None:
        self._envs.close()
