"""Cube textures for MuJoCo Warp's renderer, which has none: it draws the strip of six faces on every face of a box."""

# pyright: reportOperatorIssue=false, reportArgumentType=false, reportIndexIssue=false, reportCallIssue=false
# the body of a Warp function is compiled, not run: its values are no Python objects

import warp as wp
from mujoco_warp._src import render

from sim.backend import BackendUnavailable

EDGE = 0.002
"""Of a face's height: what a sample keeps away from the next face in the strip."""


@wp.func
def _texture_box(
    local: wp.vec3,
    local_normal: wp.vec3,
    size: wp.vec3,
    repeat: wp.vec2,
    tex_uniform: bool,
) -> tuple[wp.vec2, wp.vec2, wp.vec2]:
    """Texture coordinates, offset and repetition at a point of a box, by OpenGL's rule for cube maps (4.6, table 8.19).

    The texture is MuJoCo's strip of six squares: right, left, up, down, front, back.
    """
    x = local[0] / wp.max(size[0], 1e-6)
    y = local[1] / wp.max(size[1], 1e-6)
    z = local[2] / wp.max(size[2], 1e-6)
    ax = wp.abs(local_normal[0])
    ay = wp.abs(local_normal[1])
    az = wp.abs(local_normal[2])
    face = 0.0
    s = 0.0
    t = 0.0
    if ax >= ay and ax >= az:
        face = wp.where(local_normal[0] > 0.0, 0.0, 1.0)
        s = wp.where(local_normal[0] > 0.0, -z, z)
        t = -y
    elif ay >= az:
        face = wp.where(local_normal[1] > 0.0, 2.0, 3.0)
        s = x
        t = wp.where(local_normal[1] > 0.0, z, -z)
    else:
        face = wp.where(local_normal[2] > 0.0, 4.0, 5.0)
        s = wp.where(local_normal[2] > 0.0, x, -x)
        t = -y
    row = wp.clamp(0.5 * (t + 1.0), EDGE, 1.0 - EDGE)
    return wp.vec2(0.5 * (s + 1.0), (face + row) / 6.0), wp.vec2(0.0, 0.0), wp.vec2(1.0, 1.0)


def draw_cube_textures() -> None:
    """Has every textured box that is drawn from now on read its texture as a cube's.

    It takes the place of a function within MuJoCo Warp; that there is one such, release by release, is tested.
    """
    if not hasattr(render, "_texture_box"):
        raise BackendUnavailable("this release of mujoco_warp maps the textures of boxes elsewhere; use 4.0")
    render._texture_box = _texture_box
