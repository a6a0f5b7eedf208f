"""EnvPool's hand and block, in its own batches; see ``serve.py``."""

import envpool
import numpy as np

WORLDS = 64
"""Enough that more make it no faster."""

SUBSTEP = 0.002
"""Its model, that of Gymnasium-Robotics, names none, and this is MuJoCo's own [s]."""


class Contestant:
    """Told uniformly random actions."""

    def __init__(self, threads: int) -> None:
        self.facts = {"substep": SUBSTEP, "worlds": WORLDS}
        make = envpool.make  # pyright: ignore[reportAttributeAccessIssue]: it takes this file for the package
        self._envs = make("HandManipulateBlock-v1", env_type="gymnasium", num_envs=WORLDS, num_threads=threads)
        self.amount = WORLDS * SUBSTEP * self._envs.config["frame_skip"]
        self._random = np.random.default_rng(0)
        self._envs.reset()

    def step(self) -> None:
        space = self._envs.action_space
        self._envs.step(self._random.uniform(space.low, space.high, (WORLDS, *space.shape)))

    def close(self) -> None:
        self._envs.close()
