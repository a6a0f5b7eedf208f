"""What happens where pictures cannot be had."""

import os
import subprocess
import sys

HIDE_EGL = """
import ctypes
load = ctypes.CDLL.__init__
def hide(self, name, *rest, **more):
    if name and "EGL" in str(name):
        raise OSError(name)
    load(self, name, *rest, **more)
ctypes.CDLL.__init__ = hide
import sim
from sim.camera import Camera
from sim.env import ReorientEnv
from sim.task import TaskConfig
from randomization.config import RandomizationConfig
env = ReorientEnv(TaskConfig(), RandomizationConfig(), 1, seed=0)
env.reset()
print("simulates")
try:
    Camera(env.physics.model, 10, 10)
except RuntimeError as error:
    print(error)
"""


def test_without_egl_the_simulation_works_and_a_camera_says_what_to_install():
    environment = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    done = subprocess.run([sys.executable, "-c", HIDE_EGL], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "simulates" in done.stdout and "apt-get install libegl1" in done.stdout
