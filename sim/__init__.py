"""The world in simulation: scene, batched physics, the reorientation task and its cameras."""

import ctypes
import os
import sys


def _has_egl() -> bool:
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    return True


if sys.platform == "linux" and _has_egl():
    # Headless rendering. MuJoCo reads the variable once, when it is first imported; with it but without EGL that import
    # would fail, and with it all that needs no pictures.
    os.environ.setdefault("MUJOCO_GL", "egl")
