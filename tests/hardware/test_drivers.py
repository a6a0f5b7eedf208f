"""Devices on the bridge, as the loop reads them."""

import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from hardware.bus import Endpoints, Publisher, StaleStream
from hardware.clock import now_ns
from hardware.drivers import BusCameras, BusMocap, Devices, Inputs, MaxAge, decode_image
from hardware.messages import CameraFrame
from tests.hardware.test_loop import Bench
from tests.hardware.world import World


def jpeg(red: int, green: int, blue: int) -> bytes:
    """A picture of one colour; OpenCV takes blue first."""
    return cv2.imencode(".jpg", np.full((16, 16, 3), (blue, green, red), np.uint8))[1].tobytes()


@pytest.mark.parametrize("colour", [(250, 10, 10), (10, 250, 10), (10, 10, 250)])
def test_images_have_red_first(colour: tuple[int, int, int]) -> None:
    image = decode_image("camera0", jpeg(*colour), 7)
    assert image.capture_ns == 7
    np.testing.assert_allclose(image.pixels.mean(axis=(0, 1)), colour, atol=6.0)


@pytest.mark.parametrize("damaged", [None, b"", b"no picture", jpeg(1, 2, 3)[:100]])
def test_an_image_that_cannot_be_decoded_is_refused(damaged: bytes | None) -> None:
    with pytest.raises(StaleStream, match="camera2 cannot be decoded"):
        decode_image("camera2", damaged, 0)


def test_after_a_stall_the_newest_images_are_served(tmp_path: Path) -> None:
    endpoints, cameras = Endpoints.ipc(tmp_path), ("camera0", "camera1")
    noise = np.random.default_rng(0).integers(0, 255, (640, 640, 3), np.uint8)
    encoded = cv2.imencode(".jpg", noise)[1].tobytes()  # large enough to fill what the system buffers
    out = Publisher(endpoints.cameras, "rig")
    reader = BusCameras(endpoints, cameras)
    out.wait_for_subscribers(cameras, 2.0)
    for _ in range(60):  # nobody reads meanwhile
        for camera in cameras:
            out.send(camera, CameraFrame(capture_ns=now_ns(), width=640, height=640), image=encoded)
    time.sleep(0.5)
    out.close()  # with it goes what waits at the sender: a reader has the newest only if it has room for them
    assert [reader.image(camera, max_age=60.0)[0].seq for camera in cameras] == [59, 59]


def test_a_silent_motion_capture_system_is_named(policy: Path, tmp_path: Path) -> None:
    bench, endpoints = Bench(policy, tmp_path), Endpoints.ipc(tmp_path)
    out, mocap = Publisher(endpoints.mocap, "rig"), BusMocap(endpoints)
    out.wait_for_subscribers(["mocap"], 2.0)
    out.send("mocap", msgspec.structs.replace(World(0).frame(), capture_ns=now_ns()))
    time.sleep(0.15)
    with pytest.raises(StaleStream, match=r"stream mocap is 0\.\d+ s old, allowed: 0\.1 s"):
        Inputs.read(Devices(bench, mocap, bench), (), MaxAge())
    out.close()
