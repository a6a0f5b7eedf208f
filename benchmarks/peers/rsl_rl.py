"""RSL-RL's recurrent PPO on a recording; see ``serve.py``.

It has no categorical head: its actions are Gaussian. With ``network="same"`` actor and critic are ours: ReLU layer,
LSTM, linear head; with ``network="stock"`` those of its ``RNNModel``: LSTM, ReLU layer, linear head. Optimizer steps
are as many as ours and of as many samples, but through time over whole roll-outs: it knows no shorter pieces.
"""

import contextlib
import io
import time
from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]
from rsl_rl.models import MLPModel, RNNModel  # pyright: ignore[reportMissingImports]
from rsl_rl.modules import RNN  # pyright: ignore[reportMissingImports]
from rsl_rl.runners import OnPolicyRunner  # pyright: ignore[reportMissingImports]
from tensordict import TensorDict  # pyright: ignore[reportMissingImports]
from torch import nn


class Replay(VecEnv):
    """Gives the recording again and again."""

    def __init__(self, recording: dict[str, np.ndarray]) -> None:
        self.cfg, self.device = {}, "cpu"
        tensors = {name: torch.from_numpy(value) for name, value in recording.items()}
        self.num_envs, self.num_actions = tensors["reward"].shape[1], ACTIONS
        self.max_episode_length = 1
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self._observations = [
            TensorDict({"policy": policy, "critic": critic}, batch_size=[self.num_envs])
            for policy, critic in zip(tensors["policy"], tensors["critic"], strict=True)
        ]
        self._reward, self._time_out = tensors["reward"], tensors["truncated"]
        self._done = (tensors["terminated"] | tensors["truncated"]).long()
        self._t = 0

    def get_observations(self) -> TensorDict:
        return self._observations[self._t]

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        t = self._t
        self._t = (t + 1) % len(self._reward)
        return self._observations[self._t], self._reward[t], self._done[t], {"time_outs": self._time_out[t]}


ACTIONS = 20
"""Dimensions of its Gaussian: as many as there are actuators."""


class Model(RNNModel):
    """ReLU layer, LSTM, linear head."""

    def __init__(self, *arguments: Any, rnn_hidden_dim: int, hidden_dims: list[int], **settings: Any) -> None:
        super().__init__(*arguments, rnn_hidden_dim=rnn_hidden_dim, hidden_dims=hidden_dims, **settings)
        (width,) = hidden_dims
        head: Any = list(self.mlp.children())[-1]
        self.embed = nn.Sequential(nn.Linear(self.obs_dim, width), nn.ReLU())
        self.rnn = RNN(width, rnn_hidden_dim)
        self.mlp = nn.Linear(rnn_hidden_dim, head.out_features)

    def get_latent(self, obs: TensorDict, masks: torch.Tensor | None = None, hidden_state: Any = None) -> torch.Tensor:
        return self.rnn(self.embed(MLPModel.get_latent(self, obs)), masks, hidden_state).squeeze(0)


class Contestant:
    """Learns with its own mixed precision or in float32; with ``bf16=None``, in what is faster."""

    def __init__(
        self, threads: int, recording: str, horizon: int, network: str, bf16: bool | None, sizes: dict, ppo: dict
    ) -> None:
        torch.set_num_threads(threads)
        with np.load(recording) as arrays:
            self._env = Replay(dict(arrays))
        self._horizon, self._network, self._sizes, self._ppo = horizon, network, sizes, ppo
        self.amount = horizon * self._env.num_envs
        runners = {mixed: self._runner(mixed) for mixed in ((False, True) if bf16 is None else (bf16,))}
        times = {mixed: self._seconds(runner) for mixed, runner in runners.items()}
        mixed = min(times, key=times.__getitem__)
        self._learner = runners[mixed]
        models = (self._learner.alg.actor, self._learner.alg.critic)
        parameters = sum(each.numel() for model in models for each in model.parameters())
        self.facts = {"parameters": parameters, "bf16": mixed}

    def _seconds(self, runner: OnPolicyRunner) -> float:
        """Of an update, after one that warms up."""
        runner.learn(1)
        begin = time.perf_counter()
        runner.learn(1)
        return time.perf_counter() - begin

    def _runner(self, mixed: bool) -> OnPolicyRunner:
        model = {
            "class_name": {"same": Model, "stock": RNNModel}[self._network],
            "hidden_dims": [self._sizes["hidden"]],
            "rnn_hidden_dim": self._sizes["lstm"],
            "activation": "relu",
            "obs_normalization": True,
        }
        algorithm = {
            "class_name": "PPO",
            "num_learning_epochs": self._ppo["epochs"],
            "num_mini_batches": self._ppo["minibatches"],
            "clip_param": self._ppo["clip"],
            "gamma": self._ppo["gamma"],
            "lam": self._ppo["lam"],
            "value_loss_coef": 0.5,
            "entropy_coef": self._ppo["entropy"],
            "learning_rate": self._ppo["learning_rate"],
            "max_grad_norm": self._ppo["max_grad_norm"],
            # what costs it time without need
            "use_clipped_value_loss": False,
            "schedule": "fixed",
            "use_mixed_precision": mixed,
        }
        gaussian = {"class_name": "GaussianDistribution", "init_std": 1.0}
        settings = {
            "num_steps_per_env": self._horizon,
            "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
            "actor": model | {"distribution_cfg": gaussian},
            "critic": model,
            "algorithm": algorithm,
            "check_for_nan": True,
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its networks
            return OnPolicyRunner(self._env, settings, log_dir=None, device="cpu")

    def step(self) -> None:
        self._learner.learn(1)

    def close(self) -> None:
        pass
