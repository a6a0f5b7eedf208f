"""Which back end steps the worlds."""

import importlib.util
import os
from dataclasses import dataclass

import mujoco

from robot.checks import check_choice, check_numbers
from sim.cpu_physics import CpuPhysics
from sim.physics import Physics

BACKENDS = ("cpu", "warp")


class BackendUnavailable(RuntimeError):
    """This machine lacks something that a back end needs; the message says what."""


@dataclass(frozen=True)
class SimConfig:
    """What steps the worlds.

    Raises:
        ValueError: if a value is out of its range.
    """

    backend: str = "cpu"
    """``cpu``: MuJoCo on threads; ``warp``: MuJoCo Warp on a GPU."""

    device: str = ""
    """Device of ``warp``, as Warp names it; empty for the GPU that this rank is to use."""

    contacts: int = 0
    """Room of ``warp`` for contacts in each world; 0 for what a short run on the CPU shows to be needed."""

    constraints: int = 0
    """Room of ``warp`` for rows of constraints in each world; 0 as for ``contacts``."""

    def __post_init__(self) -> None:
        check_choice("sim backend", self.backend, BACKENDS)
        check_numbers("sim", self, "contacts", "constraints", least=0)


def make_physics(model: mujoco.MjModel, n: int, threads: int, config: SimConfig) -> Physics:
    """``n`` worlds of a model; ``threads`` CPU threads step them, 0 for all.

    Raises:
        BackendUnavailable: if the back end lacks something on this machine, with what to do about it.
    """
    if config.backend == "cpu":
        return CpuPhysics(model, n, threads)
    return _warp(model, n, config)


def _warp(model: mujoco.MjModel, n: int, config: SimConfig) -> Physics:
    missing = [name for name in ("warp", "mujoco_warp") if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendUnavailable(f"sim.backend=warp needs {' and '.join(missing)}: pip install 'inhand[gpu]'")
    import warp as wp  # an extra

    from sim.warp_capacity import Capacity, calibrate
    from sim.warp_physics import WarpPhysics

    wp.config.log_level = wp.LOG_WARNING  # no greeting, and no line for each kernel that is loaded
    device = config.device
    if not device:
        if not wp.is_cuda_available():
            toolkit = wp.get_cuda_toolkit_version()
            driver = f"a driver of CUDA {toolkit[0]}.0 or newer" if toolkit else "a build of Warp with CUDA"
            raise BackendUnavailable(
                f"sim.backend=warp finds no CUDA device; it needs an NVIDIA GPU and {driver} (nvidia-smi shows both)"
            )
        # torchrun numbers the ranks of a machine
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % wp.get_cuda_device_count()}"
    if device not in [each.alias for each in wp.get_devices()]:
        raise BackendUnavailable(
            f"sim device is {device!r}; here are {', '.join(each.alias for each in wp.get_devices())}"
        )
    room = Capacity(config.contacts, config.constraints)
    if not (room.contacts and room.constraints):
        needed = calibrate(model)
        room = Capacity(room.contacts or needed.contacts, room.constraints or needed.constraints)
    try:
        return WarpPhysics(model, n, device, room)
    except NotImplementedError as error:
        raise BackendUnavailable(f"MuJoCo Warp cannot simulate this model: {error}") from error
