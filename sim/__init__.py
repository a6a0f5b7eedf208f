"""The world in simulation: scene, batched physics, the reorientation task and its cameras."""

import os
import sys

if sys.platform == "linux":
    # headless rendering; MuJoCo reads the variable once, when it is first imported
    os.environ.setdefault("MUJOCO_GL", "egl")
