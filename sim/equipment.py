"""What a randomization preset needs of the model itself, added before it is compiled."""

import mujoco

from randomization.config import RandomizationConfig
from randomization.distribution import parse
from robot.hand import ACTUATOR_NAMES, FINGERTIP_MARKERS
from robot.plant import SHADOW, TENDON_UNITS, PlantConfig

MAX_DELAY = 0.16
"""Seconds for which actuators remember their targets: the longest delay that can be drawn."""

HIDES = -1.0
"""Distance [m] at which an occluder would push: never. What comes nearer than its surface is only noticed."""


def equip(spec: mujoco.MjSpec, randomization: RandomizationConfig, plant: PlantConfig = SHADOW) -> None:
    """Adds what the terms of a preset need: memory of targets for delays, boxes that notice what hides a marker.

    Raises:
        ValueError: if actuator delays can be drawn that are negative or longer than ``MAX_DELAY``, or a term adds to
            tendons in another unit than that of the plant's.
    """
    _check_units(randomization, plant)
    delays = [term.draw for term in randomization.physics.values() if "actuator_delay" in term.fields]
    if delays:
        least, most = (
            sum(ends) for ends in zip(*(parse(d).bounds(randomization.adr.limit) for d in delays), strict=True)
        )
        if least < 0.0 or most > MAX_DELAY:
            raise ValueError(f"actuator delays can reach from {least:g} to {most:g} s; allowed: 0 to {MAX_DELAY} s")
        for name in ACTUATOR_NAMES:
            spec.actuator(name).nsample = round(MAX_DELAY / spec.option.timestep)
    sizes = [term.size for term in randomization.sensors.values() if term.effect == "occlusion"]
    if sizes:
        for marker in FINGERTIP_MARKERS:
            _add_occluder(spec, marker, sizes[0])


def _check_units(randomization: RandomizationConfig, plant: PlantConfig) -> None:
    for name, term in randomization.physics.items():
        measure = term.unit.rpartition("/")[2]  # a stiffness is per length
        tendons = [field for field in term.fields if field.startswith("tendon_")]
        if tendons and term.apply == "add" and measure in TENDON_UNITS and measure != plant.tendon_unit:
            raise ValueError(
                f"term physics.{name} of preset {randomization.name} adds {term.unit} to {', '.join(tendons)}, but "
                f"tendons of plant {plant.name} are measured in {plant.tendon_unit}; leave it out with "
                f"'~randomization.physics.{name}'"
            )


def occlusion_sensor(marker: str) -> str:
    """The name of the sensor whose reading is above zero while something touches the box around a marker."""
    return f"occlusion_{marker}"


def _add_occluder(spec: mujoco.MjSpec, marker: str, size: list[float]) -> None:
    site = spec.site(marker)
    box = site.parent.add_geom(
        name=f"occluder_{marker}",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=size,
        pos=site.pos,
        mass=0.0,
        group=4,
        margin=HIDES,
        gap=-HIDES,
    )
    sensor = spec.add_sensor(
        name=occlusion_sensor(marker),
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_GEOM,
        objname=box.name,
    )
    found, unsorted, one_slot = 1, 0, 1
    sensor.intprm = [found, unsorted, one_slot]
