"""What a machine is and can do, found by trying."""

import ctypes.util
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

GL_PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri"
"""What headless rendering needs on Debian."""
SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "SwiftShader")
MIN_FREE_DISK = 2**30
"""Bytes that the main job must find free for its artefacts, logs and videos."""
PROBE_TIMEOUT = 60.0
"""Seconds. A cold start of the GL driver compiles shaders, which takes a few."""

PIP = ".venv/bin/pip install"
"""As the Makefile sets the environment up."""

DRIVERS = {
    "motioncapture": "OptiTrack, Vicon, Qualisys and VRPN motion capture",
    "qtm-rt": "Qualisys motion capture, the maker's client",
    "pypylon": "Basler cameras",
    "pyrealsense2": "RealSense cameras",
    "dynamixel-sdk": "hands on Dynamixel servos",
}
"""Makers' kits for optional drivers, by the name of their distribution: what for."""

PLANTS = {
    "gymnasium-robotics": "the hand of Gymnasium-Robotics, plant=gymnasium_robotics",
    "mujoco-menagerie": "the hand of MuJoCo Menagerie, plant=menagerie; its models are fetched apart (docs/plants.md)",
}
"""Packages of models of the hand that others wrote: what for."""

EXPORT = {"onnx": "inhand export", "onnxscript": "inhand export", "onnxruntime": "checks what inhand export writes"}
"""Packages that write policies in a foreign format: what for."""

RENDER = """
import json, mujoco, numpy
from OpenGL import GL
xml = '<mujoco><worldbody><light pos="0 0 3"/><geom size=".5" rgba="1 0 0 1"/></worldbody></mujoco>'
model = mujoco.MjModel.from_xml_string(xml)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 64, 64) as renderer:
    renderer.update_scene(data)
    red = int(renderer.render()[..., 0].max())
    strings = [GL.glGetString(name).decode() for name in (GL.GL_VENDOR, GL.GL_RENDERER, GL.GL_VERSION)]
print(json.dumps({"red": red, "strings": strings}))
"""


CUDA = """
import warp as wp
wp.config.log_level = wp.LOG_ERROR
toolkit = wp.get_cuda_toolkit_version()
print(f"a driver of CUDA {toolkit[0]}.0 or newer" if toolkit else "a build of Warp with CUDA")
print(*(device.name for device in wp.get_cuda_devices()))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    name: str
    value: str
    ok: bool | None = None
    """Whether it serves; None where either way is fine."""
    fix: str = ""
    """What to do about it."""


def versions() -> Iterator[Finding]:
    """Python and the packages that the core needs, against the ranges that the project gives."""
    yield Finding("versions", "python", platform.python_version(), True)
    try:
        yield Finding("versions", "inhand", metadata.version("inhand"), True)
        needed = [Requirement(text) for text in metadata.requires("inhand") or ()]
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
        yield Finding("versions", "inhand", f"{project['version']}, not installed: run from its source")
        needed = [Requirement(text) for text in project["dependencies"]]
    for each in needed:
        if each.marker and not each.marker.evaluate({"extra": ""}):
            continue
        fix = f"{PIP} '{each}'"
        try:
            found = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            yield Finding("versions", each.name, "missing", False, fix)
        else:
            good = each.specifier.contains(found, prereleases=True)
            yield Finding("versions", each.name, found, good, "" if good else fix)


def machine() -> Iterator[Finding]:
    """Processor, memory and disk."""
    processor, flags = _cpuinfo()
    yield Finding("machine", "system", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Finding("machine", "processor", processor)
    yield Finding("machine", "cores", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}")
    wanted = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8") if flag in flags]
    yield Finding("machine", "vector units", " ".join(wanted) or "none known")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("machine", "memory", f"{memory / 2**30:.1f} GiB")
    free = shutil.disk_usage(Path.cwd()).free
    roomy = free >= MIN_FREE_DISK
    fix = "" if roomy else f"free {MIN_FREE_DISK / 2**30:.0f} GiB in {Path.cwd()}"
    yield Finding("machine", "disk free here", f"{free / 2**30:.1f} GiB", roomy, fix)


def compute() -> Iterator[Finding]:
    """Where torch would compute."""
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    yield Finding("compute", "torch threads", str(torch.get_num_threads()))
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    yield Finding("compute", "GPU", ", ".join(devices) or f"none (torch is built {built})")


def gpu_physics() -> Iterator[Finding]:
    """What ``sim.backend=warp`` needs: two packages, an NVIDIA GPU, and its driver."""
    fix = f"{PIP} -e '.[gpu]'"
    packages = ("warp-lang", "mujoco-warp")
    yield from (_optional("GPU physics", name, "sim.backend=warp", fix) for name in packages)
    if any(importlib.util.find_spec(name) is None for name in ("warp", "mujoco_warp")):
        return
    # in a process of its own: a broken driver takes its process down
    run = subprocess.run([sys.executable, "-c", CUDA], capture_output=True, text=True, check=False)
    needed, _, devices = run.stdout.partition("\n")
    missing = f"no CUDA device; it needs an NVIDIA GPU and {needed}, which nvidia-smi shows"
    yield Finding("GPU physics", "device", devices.strip() or missing)


def rendering() -> Finding:
    """Renders one picture, in a process of its own, because a broken GL driver takes its process down."""
    backend = os.environ.get("MUJOCO_GL", "egl")
    command = [sys.executable, "-c", RENDER]
    fix = (
        f"apt-get install {GL_PACKAGES}"
        if backend == "egl"
        else f"unset MUJOCO_GL (it is {backend!r}), so that EGL is used"
    )
    try:
        run = subprocess.run(
            command, env=os.environ | {"MUJOCO_GL": backend}, capture_output=True, text=True, timeout=PROBE_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return Finding("rendering", backend, f"no picture within {PROBE_TIMEOUT:.0f} s", False, fix)
    if run.returncode != 0:
        errors = re.findall(r"^[\w.]*Error\b.*", run.stderr, re.MULTILINE)
        why = errors[0] if errors else f"the renderer ended with status {run.returncode}"
        return Finding("rendering", backend, why, False, fix)
    answer = json.loads(run.stdout.splitlines()[-1])
    vendor, renderer, version = answer["strings"]
    if answer["red"] < 50:
        return Finding("rendering", backend, f"{renderer}: the picture of a red ball is black", False, fix)
    kind = "software" if any(name in renderer for name in SOFTWARE_RENDERERS) else "hardware"
    return Finding("rendering", backend, f"{renderer} ({kind}; {vendor}, OpenGL {version})", True)


def video() -> Finding:
    """Writes ten frames of H.264 and reads them back."""
    fix = f"{PIP} 'imageio[ffmpeg]'"
    try:
        import imageio.v3 as iio
        import numpy as np

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "probe.mp4"
            iio.imwrite(path, np.zeros((10, 64, 64, 3), np.uint8), fps=10, codec="libx264")
            count = len(iio.imread(path))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return Finding("video", "H.264", f"{type(error).__name__}: {error}", False, fix)
    return Finding("video", "H.264", f"{count} of 10 frames read back", count == 10, "" if count == 10 else fix)


def messaging() -> Finding:
    """Sends one message through a ZeroMQ socket of the kind that the bridge uses."""
    if importlib.util.find_spec("zmq") is None:
        return Finding("bridge", "ZeroMQ ipc", "pyzmq is missing", False, f"{PIP} pyzmq")
    import zmq

    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            zmq.Context() as context,
            context.socket(zmq.PULL) as receiver,
            context.socket(zmq.PUSH) as sender,
        ):
            receiver.bind(f"ipc://{folder}/probe")
            sender.connect(f"ipc://{folder}/probe")
            sender.setsockopt(zmq.LINGER, 0)
            sender.send(b"ping")
            arrived = bool(receiver.poll(2000)) and receiver.recv() == b"ping"
    except (OSError, zmq.ZMQError) as error:
        fix = f"let local sockets be made in {tempfile.gettempdir()}"
        return Finding("bridge", "ZeroMQ ipc", f"{type(error).__name__}: {error}", False, fix)
    fix = "" if arrived else f"{PIP} --force-reinstall pyzmq"
    return Finding("bridge", "ZeroMQ ipc", f"libzmq {zmq.zmq_version()}", arrived, fix)


def drivers() -> Iterator[Finding]:
    """The optional drivers of cameras, motion capture and hands."""
    for name, purpose in DRIVERS.items():
        yield _optional("drivers", name, purpose, f"{PIP} {name}")
    aravis = ctypes.util.find_library("aravis-0.8")
    fix = "" if aravis else "apt-get install libaravis-0.8-0"
    yield Finding("drivers", "aravis", aravis or "not installed: GenICam cameras", None, fix)


def plants() -> Iterator[Finding]:
    """Models of the hand to evaluate and deploy on besides our own."""
    for name, purpose in PLANTS.items():
        yield _optional("plants", name, purpose, f"{PIP} -e '.[plants]'")


def export() -> Iterator[Finding]:
    """What ``inhand export`` needs."""
    for name, purpose in EXPORT.items():
        fix = f"{PIP} {name}" if name == "onnxruntime" else f"{PIP} -e '.[onnx]'"
        yield _optional("export", name, purpose, fix)


def _optional(topic: str, name: str, purpose: str, fix: str) -> Finding:
    try:
        return Finding(topic, name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(topic, name, f"not installed: {purpose}", None, fix)


def _cpuinfo() -> tuple[str, set[str]]:
    """The processor's name and its feature flags; Linux tells them in a file."""
    file = Path("/proc/cpuinfo")
    lines = (line.partition(":") for line in file.read_text().splitlines()) if file.exists() else ()
    facts = {key.strip(): value.strip() for key, _, value in lines}
    return facts.get("model name", platform.processor() or "unknown"), set(facts.get("flags", "").split())
