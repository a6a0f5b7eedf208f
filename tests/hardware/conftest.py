"""A small untrained policy."""

from pathlib import Path

import pytest
import torch

from policy import artefact
from policy.network import Actor, NetworkConfig
from robot.action import ActionContract
from robot.observation import ObservationContract


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a policy artefact that reads everything a rig measures."""
    network = NetworkConfig(hidden=32, lstm=32)
    observation = ObservationContract(
        ("fingertip_pos", "object_pos", "object_quat", "goal_quat", "goal_rel_quat", "joint_pos", "joint_target")
    )
    action = ActionContract(scale=0.5)
    actor = Actor(observation.size, action.size, action.bins, network, torch.Generator().manual_seed(0))
    directory = tmp_path_factory.mktemp("artefact") / "policy"
    artefact.save(directory, actor, observation, action, network, {})
    return directory
