import pytest
from omegaconf import OmegaConf

from inhand.config import CONF
from randomization.config import RandomizationConfig


def preset(name: str) -> RandomizationConfig:
    values = OmegaConf.load(CONF / "randomization" / f"{name}.yaml")
    merged = OmegaConf.merge(OmegaConf.structured(RandomizationConfig), values)
    config = OmegaConf.to_object(merged)
    assert isinstance(config, RandomizationConfig)
    return config


@pytest.fixture(scope="session")
def dactyl() -> RandomizationConfig:
    return preset("dactyl")


@pytest.fixture(scope="session")
def none() -> RandomizationConfig:
    return preset("none")
