"""Pictures of all worlds at once, by MuJoCo Warp's ray tracer: data for vision, made where the physics is."""

from collections.abc import Sequence
from typing import Any

import mujoco_warp as mjw
import torch
import warp as wp
from torch import Tensor

from sim.camera import GOAL_GROUP
from sim.scene import CAMERAS
from sim.warp_cube import draw_cube_textures
from sim.warp_physics import WarpPhysics

GROUPS = [group for group in range(3) if group != GOAL_GROUP]
"""Groups of geoms that cameras see; the markers, which are sites, it cannot draw."""


class BatchCamera:
    """The named cameras of every world, at one resolution.

    Light is diffuse and casts no shadow; edges are not smoothed. What the worlds' model fields say of cameras, lights
    and materials holds from the next picture on.
    """

    def __init__(
        self, physics: WarpPhysics, width: int, height: int, cameras: Sequence[str] = CAMERAS, textures: bool = True
    ) -> None:
        """``textures``: draw them; without, surfaces have their plain colours.

        Raises:
            ValueError: if the model has no such camera.
        """
        draw_cube_textures()  # the block's
        names = [physics.model.camera(i).name for i in range(physics.model.ncam)]
        for name in cameras:
            if name not in names:
                raise ValueError(f"camera {name!r} is none of the model's; allowed: {', '.join(names)}")
        self.physics = physics
        # the renderer keeps the model's order, whatever the order in which they are asked for
        rendered = [name for name in names if name in cameras]
        self._order = [rendered.index(name) for name in cameras]
        with wp.ScopedDevice(physics.warp_device):
            self._context = mjw.create_render_context(
                physics.model,
                nworld=physics.n,
                cam_res=(width, height),
                render_rgb=True,
                render_depth=False,
                render_seg=False,
                use_textures=textures,
                use_precomputed_rays=False,  # the fields of view may differ from world to world
                enabled_geom_groups=GROUPS,
                cam_active=rendered,
            )
            shape = (physics.n, height, width)
            self._pictures: list[Any] = [wp.zeros(shape, dtype=wp.vec3) for _ in cameras]

    def render(self) -> Tensor:
        """The pictures of the present state, (n, cameras, height, width, 3) uint8 RGB, on the physics' device."""
        with wp.ScopedDevice(self.physics.warp_device):
            mjw.camlight(self.physics.m, self.physics.d)
            mjw.refit_bvh(self.physics.m, self.physics.d, self._context)
            mjw.render(self.physics.m, self.physics.d, self._context)
            for index, picture in zip(self._order, self._pictures, strict=True):
                mjw.get_rgb(self._context, index, picture)
        pictures = torch.stack([wp.to_torch(picture) for picture in self._pictures], dim=1)
        return (pictures * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)
