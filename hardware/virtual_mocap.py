"""What a motion-capture system makes of the truth: another world frame, noise, losses, and all of it late."""

from collections import deque

import torch

from hardware.clock import NS
from hardware.messages import Body, MocapFrame, Vec3
from hardware.rig_config import RigConfig
from robot import rotation
from robot.frames import Pose

BLOCK = "block"


class VirtualMocap:
    """Sees markers and the block; frames are handed out after the system's latency."""

    def __init__(self, config: RigConfig, labels: tuple[str, ...]) -> None:
        self._config = config
        self._labels = labels
        self._generator = torch.Generator().manual_seed(config.seed)
        yaw = 6.283 * torch.rand((), generator=self._generator, dtype=torch.float64)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        self.T_mocap_world = Pose(self._normal(3), rotation.from_axis_angle(up, yaw))
        """Where the mocap system's origin was put when it was calibrated."""
        self._hidden_until_ns = dict.fromkeys((*labels, BLOCK), 0)
        self._waiting: deque[MocapFrame] = deque()

    def expose(self, capture_ns: int, markers_world: torch.Tensor, T_world_block: Pose) -> None:
        """Takes a frame of the markers (m, 3), in the order of the labels, and of the block."""
        self._lose(capture_ns)
        noise = self._config.mocap_noise
        places = self.T_mocap_world.apply(markers_world)
        places = places + noise * self._normal(*places.shape)
        markers: dict[str, Vec3] = {
            label: tuple(place)
            for label, place in zip(self._labels, places.tolist(), strict=True)
            if self._hidden_until_ns[label] <= capture_ns
        }
        block = None
        if self._hidden_until_ns[BLOCK] <= capture_ns:
            pose = self.T_mocap_world @ T_world_block
            turn = rotation.from_rotation_vector(self._config.mocap_rotation_noise * self._normal(3))
            pos, quat = pose.pos + noise * self._normal(3), rotation.multiply(pose.quat, turn)
            block = Body(tuple(pos.tolist()), tuple(quat.tolist()))
        self._waiting.append(MocapFrame(capture_ns=capture_ns, markers=markers, block=block))

    def deliver(self, now_ns: int) -> list[MocapFrame]:
        """The frames that have come through by now."""
        delivered = []
        while self._waiting and self._waiting[0].capture_ns + self._config.mocap_latency * NS <= now_ns:
            delivered.append(self._waiting.popleft())
        return delivered

    def _lose(self, now_ns: int) -> None:
        """Hides what is lost in this frame; losses come and last as in a Poisson process."""
        chance = self._config.dropouts / self._config.mocap_rate
        drawn = torch.rand(len(self._hidden_until_ns), 2, generator=self._generator).tolist()
        for name, (hit, length) in zip(self._hidden_until_ns, drawn, strict=True):
            if hit < chance:
                seconds = -self._config.dropout_time * float(torch.log1p(torch.tensor(-length)))
                self._hidden_until_ns[name] = now_ns + round(seconds * NS)

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)
