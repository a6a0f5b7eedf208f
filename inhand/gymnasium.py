"""The task under a Gymnasium id, with our presets; importing this module registers ``inhand/ReorientBlock-v0``.

Gymnasium has searched for no plugins since 1.0: import this module, or let ``gymnasium.make`` do it, with the id
``inhand.gymnasium:inhand/ReorientBlock-v0``.
"""

from dataclasses import replace
from typing import TypeVar

from gymnasium.envs.registration import register
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from inhand.config import CONF, HYDRA_VERSION, typed, unknown
from randomization.config import RandomizationConfig
from robot.plant import PlantConfig
from sim.gymnasium.env import ReorientBlockEnv
from sim.gymnasium.vector_env import ReorientBlockVectorEnv
from sim.task import TaskConfig

T = TypeVar("T")

ID = "inhand/ReorientBlock-v0"


def make(
    randomization: str | RandomizationConfig = "none",
    task: TaskConfig | None = None,
    bins: int = 0,
    plant: str | PlantConfig = "shadow",
    critic: bool = False,
    threads: int = 1,
    render_mode: str | None = None,
) -> ReorientBlockEnv:
    """One world; what ``gymnasium.make`` calls.

    Args:
        randomization: a preset, or its name.
        task: ``TaskConfig()`` if None.
        bins: classes per actuator, or 0 for continuous actions; holds whatever the task says.
        plant: a model of the hand, or its name.
        critic: see ``ReorientBlockVectorEnv``.
        threads: CPU threads for physics, 0 for all.
        render_mode: ``rgb_array`` or None.

    Raises:
        ValueError: if there is nothing of that name, or no such number of classes.
        RenderingUnavailable: if frames are asked for and this machine cannot make them.
    """
    return ReorientBlockEnv(*_worlds(randomization, task, bins, plant), critic, threads, render_mode)


def make_vec(
    num_envs: int = 1,
    randomization: str | RandomizationConfig = "none",
    task: TaskConfig | None = None,
    bins: int = 0,
    plant: str | PlantConfig = "shadow",
    critic: bool = False,
    threads: int = 0,
    render_mode: str | None = None,
) -> ReorientBlockVectorEnv:
    """``num_envs`` worlds stepped together; what ``gymnasium.make_vec`` calls. For the rest see ``make``."""
    return ReorientBlockVectorEnv(num_envs, *_worlds(randomization, task, bins, plant), critic, threads, render_mode)


def _worlds(
    randomization: str | RandomizationConfig, task: TaskConfig | None, bins: int, plant: str | PlantConfig
) -> tuple[TaskConfig, RandomizationConfig, PlantConfig]:
    task = task or TaskConfig()
    task = replace(task, action=replace(task.action, bins=bins))
    if isinstance(randomization, str):
        randomization = _option("randomization", randomization, RandomizationConfig)
    if isinstance(plant, str):
        plant = _option("plant", plant, PlantConfig)
    return task, randomization, plant


def _option(group: str, name: str, schema: type[T]) -> T:
    """What ``group=name`` stands for on the command line."""
    names = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    if name not in names:
        raise ValueError(unknown(group, name, names))
    outer = GlobalHydra.instance().hydra  # the program that asks may run under Hydra itself
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base=HYDRA_VERSION):
            return typed(compose(overrides=[f"+{group}={name}"])[group], schema)
    finally:
        GlobalHydra.instance().hydra = outer


register(ID, entry_point=f"{__name__}:make", vector_entry_point=f"{__name__}:make_vec")
