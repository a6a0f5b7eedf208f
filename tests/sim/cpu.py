"""The CPU's physics of an environment, whose arrays MuJoCo's own names reach."""

from sim.cpu_physics import CpuPhysics
from sim.env import ReorientEnv


def cpu(env: ReorientEnv) -> CpuPhysics:
    assert isinstance(env.physics, CpuPhysics)
    return env.physics
