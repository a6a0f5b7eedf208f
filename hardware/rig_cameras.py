"""The virtual rig's cameras: a process of its own, so that rendering never disturbs the physics."""

import sys
from typing import cast

import cv2
import numpy as np
import torch

from hardware.bus import Publisher, StaleStream, Subscriber
from hardware.clock import Pacer
from hardware.messages import CAMERAS, CameraFrame, Truth
from hardware.process import Lifetime, load_config, say_ready
from hardware.rig_config import RigProcess
from robot import rotation
from sim.camera import Camera
from sim.puppet import Moment, Puppet
from sim.scene import build_model

MAX_AGE = 0.5
"""Oldest truth that is still rendered [s]; when the rig is silent its cameras are."""


class RigCameras:
    """Renders the true state of the rig as its cameras see it."""

    def __init__(self, process: RigProcess) -> None:
        self._config = process.rig
        self._puppet = Puppet(build_model(plant=process.plant))
        self._camera = Camera(self._puppet.model, self._config.camera_size, self._config.camera_size)
        self._truth = Subscriber([process.endpoints.truth], ["truth"])
        self._out = Publisher(process.endpoints.cameras, "rig_cameras")

    def wait_for_listeners(self, timeout: float) -> None:
        """Returns when every camera is listened to.

        Raises:
            HandshakeTimeout: if one is not within ``timeout`` seconds.
        """
        self._out.wait_for_subscribers(CAMERAS, timeout)

    def run(self, lifetime: Lifetime) -> None:
        """Takes pictures until told to stop."""
        pacer = Pacer(1.0 / self._config.camera_rate)
        while not lifetime.over:
            pacer.wait()
            try:
                truth = cast(Truth, self._truth.latest("truth", MAX_AGE).message)
            except StaleStream:
                continue
            block = torch.tensor(truth.block.pos), torch.tensor(truth.block.quat)
            self._puppet.pose(Moment(torch.tensor(truth.joint_pos), *block, goal_quat=rotation.identity(1)[0]))
            for camera in CAMERAS:
                self._shoot(camera, truth.capture_ns)

    def _shoot(self, camera: str, capture_ns: int) -> None:
        pixels = self._camera.render(self._puppet.data, camera)
        height, width, _ = pixels.shape
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._config.jpeg_quality]
        _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), quality)
        self._out.send(camera, CameraFrame(capture_ns=capture_ns, width=width, height=height), encoded.tobytes())

    def close(self) -> None:
        """Frees the renderer."""
        self._camera.close()


def main() -> None:
    """``python -m hardware.rig_cameras CONFIG.json [PARENT]``."""
    process = load_config(RigProcess)
    torch.set_num_threads(1)
    try:
        cameras = RigCameras(process)
        if process.listener_timeout:
            cameras.wait_for_listeners(process.listener_timeout)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"the rig's cameras cannot start: {error}")
    lifetime = Lifetime()  # not sooner: what only waits for others may be killed
    say_ready()
    try:
        cameras.run(lifetime)
    finally:
        cameras.close()


if __name__ == "__main__":
    main()
