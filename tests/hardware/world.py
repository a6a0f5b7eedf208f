"""A hand and a block whose true places are known."""

import torch

from hardware.clock import NS
from hardware.messages import Body, HandState, MocapFrame
from robot import rotation
from robot.frames import Pose
from robot.hand import ACTUATORS, BASE_MARKER_POS, BASE_MARKERS, FINGERTIP_MARKERS

HAND = HandState(
    capture_ns=0,
    joint_pos=tuple(0.01 * i for i in range(24)),
    joint_vel=(0.0,) * 24,
    target=tuple(min(0.02 * i, each.upper) for i, each in enumerate(ACTUATORS)),
    mode="active",
    force=1.0,
)


class World:
    """A hand base somewhere in a mocap system's frame; fingertips and block at known places of the base frame."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.T_mocap_base = Pose(
            torch.randn(3, generator=generator, dtype=torch.float64),
            rotation.random_uniform(1, generator, torch.float64)[0],
        )
        self.tips = 0.1 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
        self.block = Pose(
            0.1 * torch.randn(3, generator=generator, dtype=torch.float64),
            rotation.random_uniform(1, generator, torch.float64)[0],
        )

    def frame(self, seconds: float = 0.0, hidden: tuple[str, ...] = (), shifted: str = "") -> MocapFrame:
        base = torch.tensor(BASE_MARKER_POS, dtype=torch.float64)
        places = self.T_mocap_base.apply(torch.cat((base, self.tips))).tolist()
        markers = dict(zip((*BASE_MARKERS, *FINGERTIP_MARKERS), map(tuple, places), strict=True))
        if shifted:
            x, y, z = markers[shifted]
            markers[shifted] = (x + 0.03, y, z)
        block = self.T_mocap_base @ self.block
        body = Body(tuple(block.pos.tolist()), tuple(block.quat.tolist()))
        seen = {name: place for name, place in markers.items() if name not in hidden}
        return MocapFrame(capture_ns=round(seconds * NS), markers=seen, block=None if "block" in hidden else body)
