import pytest

from inhand.config import load
from inhand.evaluate import EvalJob
from randomization.config import RandomizationConfig


def preset(name: str) -> RandomizationConfig:
    return load("eval", EvalJob, ["policy=none", f"randomization={name}"]).randomization


@pytest.fixture(scope="session")
def dactyl() -> RandomizationConfig:
    return preset("dactyl")


@pytest.fixture(scope="session")
def none() -> RandomizationConfig:
    return preset("none")
