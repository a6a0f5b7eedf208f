"""A directory of shipped policies, as in the repository."""

import tempfile
from pathlib import Path

from policy import artefact
from policy.network import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.train import TrainConfig, train
from tests.policy.toy import ToyEnv


def save_policy(directory: Path) -> None:
    """A tiny policy that knows nothing, with files beside it that are no part of the artefact."""
    network = NetworkConfig(hidden=8, lstm=8)
    env = ToyEnv(4)
    config = TrainConfig(num_envs=4, horizon=4, steps=16, network=network, ppo=PPOConfig(chunk=4, minibatches=2))
    with tempfile.TemporaryDirectory() as run_dir:
        actor = train(config, env, Path(run_dir)).actor
    artefact.save(directory, actor, env.policy_contract, env.action_contract, network, {})
    (directory / "eval.json").write_text("{}")
    (directory / "curve.png").write_bytes(b"")


def ship(directory: Path) -> Path:
    """Ships one policy, ``small``, which is the default."""
    save_policy(directory / "small")
    (directory / "default").symlink_to("small")
    (directory / "README.md").write_text("")
    return directory
