"""Small runs of the teacher."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from policy.network_config import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.teacher_config import TeacherConfig
from policy.train import train
from policy.train_config import TrainConfig
from tests.policy.turning import TurningEnv

WORLDS, HORIZON = 8, 5
PER_UPDATE = WORLDS * HORIZON
SMALL = TeacherConfig(
    batch=32,
    n_step=3,
    updates_per_step=1,
    replay=WORLDS * 40,
    guard=WORLDS * 15,
    warmup=WORLDS * 7,
    atoms=11,
    critic_width=16,
    bf16=False,
)
"""It remembers 40 control steps of each world, of which the oldest 15 are not read, and begins to learn after 7."""
NETWORK = NetworkConfig(hidden=16, lstm=16, memory=False, critic_memory=False)


def config(updates: int, teacher: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    base = TrainConfig(
        algorithm="teacher",
        seed=3,
        num_envs=WORLDS,
        horizon=HORIZON,
        steps=updates * PER_UPDATE,
        checkpoint_minutes=60.0,
        keep_checkpoints=100,
        threads=1,
        network=NETWORK,
        ppo=PPOConfig(chunk=HORIZON, minibatches=2),  # unused
        teacher=replace(SMALL, **(teacher or {})),
    )
    return replace(base, **changes)


def run(directory: Path, settings: TrainConfig, resume: bool = False, seed: int = 1, **begin: Path) -> None:
    env = TurningEnv(settings.num_envs, seed, lost=0.02)
    train(settings, env, directory, resume, Console(file=io.StringIO()), **begin)
