"""What a randomization preset needs of the model itself, added before it is compiled."""

import mujoco

from randomization.config import RandomizationConfig
from randomization.distribution import parse
from robot.hand import ACTUATOR_NAMES, FINGERTIP_MARKERS

MAX_DELAY = 0.16
"""Seconds for which actuators remember their targets: the longest delay that can be drawn."""

HIDES = -1.0
"""Distance [m] at which an occluder would push: never. What comes nearer than its surface is only noticed."""


def equip(spec: mujoco.MjSpec, randomization: RandomizationConfig) -> None:
    """Adds what the terms of a preset need: memory of targets for delays, boxes that notice what hides a marker.

    Raises:
        ValueError: if actuator delays can be drawn that are negative or longer than ``MAX_DELAY``.
    """
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
