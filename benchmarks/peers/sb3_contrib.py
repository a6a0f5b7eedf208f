"""sb3-contrib's RecurrentPPO on a recording; see ``serve.py``.

Its network is ours: ReLU layer, LSTM, linear head of the same classes; but its critic sees what the actor sees, and it
is spared to normalize the observations. Optimizer steps are as many as ours and of as many samples, but through time
over whole roll-outs: it knows no shorter pieces.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import nn


class Replay(VecEnv):
    """Gives the recording again and again."""

    def __init__(self, recording: dict[str, np.ndarray], actuators: int, bins: int) -> None:
        self._policy, self._reward = recording["policy"], recording["reward"]
        self._done = recording["terminated"] | recording["truncated"]
        truncated = recording["truncated"]
        _, worlds, size = self._policy.shape
        self._infos = [
            [
                {"terminal_observation": self._policy[t, i], "TimeLimit.truncated": bool(truncated[t, i])}
                if self._done[t, i]
                else {}
                for i in range(worlds)
            ]
            for t in range(len(self._reward))
        ]
        self._t = 0
        super().__init__(
            worlds, spaces.Box(-np.inf, np.inf, (size,), np.float32), spaces.MultiDiscrete([bins] * actuators)
        )

    def reset(self) -> np.ndarray:
        self._t = 0
        return self._policy[0]

    def step_async(self, actions: np.ndarray) -> None:
        pass

    def step_wait(self) -> Any:
        t = self._t
        self._t = (t + 1) % len(self._reward)
        # the rewards are changed by what receives them
        return self._policy[self._t], self._reward[t].copy(), self._done[t], self._infos[t]

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("a recording has nothing that could be set")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        raise NotImplementedError("behind a recording there are no environments to call")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Embedding(BaseFeaturesExtractor):
    """The ReLU layer before the LSTM."""

    def __init__(self, observation_space: spaces.Box, width: int) -> None:
        super().__init__(observation_space, width)
        self.layers = nn.Sequential(nn.Linear(observation_space.shape[0], width), nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.layers(observations)


class Contestant:
    """Learns in float32, the only precision it has."""

    def __init__(
        self, threads: int, recording: str, horizon: int, actuators: int, bins: int, sizes: dict, ppo: dict
    ) -> None:
        torch.set_num_threads(threads)
        with np.load(recording) as arrays:
            env = Replay(dict(arrays), actuators, bins)
        self.amount = horizon * env.num_envs
        self._model = RecurrentPPO(  # pyright: ignore[reportCallIssue]: it takes this file for the package
            "MlpLstmPolicy",
            env,
            learning_rate=ppo["learning_rate"],
            n_steps=horizon,
            batch_size=-(-self.amount // ppo["minibatches"]),
            n_epochs=ppo["epochs"],
            gamma=ppo["gamma"],
            gae_lambda=ppo["lam"],
            clip_range=ppo["clip"],
            ent_coef=ppo["entropy"],
            max_grad_norm=ppo["max_grad_norm"],
            device="cpu",
            policy_kwargs={
                "features_extractor_class": Embedding,
                "features_extractor_kwargs": {"width": sizes["hidden"]},
                "share_features_extractor": False,
                "net_arch": [],
                "lstm_hidden_size": sizes["lstm"],
            },
        )
        self.facts = {"parameters": sum(each.numel() for each in self._model.policy.parameters())}
        self.step()

    def step(self) -> None:
        self._model.learn(self.amount, reset_num_timesteps=False, log_interval=None)  # pyright: ignore[reportArgumentType]

    def close(self) -> None:
        pass
