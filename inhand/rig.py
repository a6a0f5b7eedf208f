"""``inhand rig``: the virtual rig alone, for a control loop that is started elsewhere."""

from dataclasses import asdict, dataclass, field

from hardware.bus import Endpoints
from hardware.deploy import serve_rig
from hardware.rig_config import RigConfig, RigProcess
from robot.plant import PlantConfig
from sim.plant import locate


@dataclass(frozen=True)
class RigJob:
    """A virtual rig."""

    endpoints: Endpoints = field(default_factory=Endpoints)
    """Where it serves."""

    rig: RigConfig = field(default_factory=RigConfig)

    plant: PlantConfig = field(default_factory=PlantConfig)
    """The model of its hand: our own, or one that others wrote."""


def run(job: RigJob) -> int:
    """Runs the rig's processes until Ctrl-C, or until one of them fails."""
    locate(job.plant)  # before anything starts
    for name, address in asdict(job.endpoints).items():
        print(f"{name:8} {address}")
    print("drive it from another terminal: inhand deploy external=true policy=DIRECTORY", flush=True)
    return serve_rig(RigProcess(job.endpoints, job.rig, plant=job.plant))
