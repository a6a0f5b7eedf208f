"""The noise of sensing: what the robot measures of a world that is known exactly (D18 Table 7)."""

import torch
from torch import Tensor

from randomization.config import RandomizationConfig
from robot import rotation
from robot.frames import Pose, fit_points
from robot.hand import BASE_MARKER_POS
from robot.observation import FIELDS


class SensorNoise:
    """Turns exact measurements of ``n`` worlds into noisy ones."""

    def __init__(self, config: RandomizationConfig, n: int, generator: torch.Generator) -> None:
        device = generator.device
        self.generator = generator
        self.terms = {FIELDS[name]: term for name, term in config.sensors.items()}
        self.base_marker_noise = config.base_marker_noise
        # rotations are kept as rotation vectors, three numbers
        self.offset = {
            field: torch.zeros(n, *((3,) if field.unit == "wxyz" else field.shape), device=device)
            for field in self.terms
        }
        self.base_pos = torch.zeros(n, 3, device=device)
        self.base_quat = rotation.identity(n, device)

    def reset(self, ids: Tensor) -> None:
        """Draws the offsets of a new episode for worlds ``ids``, (m,)."""
        for field, term in self.terms.items():
            self.offset[field][ids] = self._draw(field.unit == "wxyz", self.offset[field][ids], term.correlated)
        if self.base_marker_noise:
            model = torch.tensor(BASE_MARKER_POS, device=self.base_pos.device)
            displaced = model + self.base_marker_noise * self._normal((len(ids), *model.shape))
            # the frame a motion-capture system would find, which believes the markers to be where the model has them
            found, _ = fit_points(model, displaced)
            self.base_pos[ids], self.base_quat[ids] = found.pos, found.quat

    def apply(self, measurement: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same fields as measured with noise; fields without noise pass unchanged."""
        noisy = dict(measurement)
        if self.base_marker_noise:
            self._move_base(noisy)
        for field, term in self.terms.items():
            if field.name not in noisy:
                continue
            fresh = self._draw(field.unit == "wxyz", self.offset[field], term.uncorrelated)
            offset = self.offset[field] + fresh
            if field.unit == "wxyz":
                noisy[field.name] = rotation.multiply(rotation.from_rotation_vector(offset), noisy[field.name])
            else:
                noisy[field.name] = noisy[field.name] + offset
        return noisy

    def _move_base(self, measurement: dict[str, Tensor]) -> None:
        T_found_base = Pose(self.base_pos, self.base_quat).inverse()
        for name, value in measurement.items():
            if name == "fingertip_pos":
                T = Pose(T_found_base.pos.unsqueeze(1), T_found_base.quat.unsqueeze(1))
                measurement[name] = T.apply(value)
            elif name == "object_pos":
                measurement[name] = T_found_base.apply(value)
            elif name == "object_quat":
                measurement[name] = rotation.multiply(T_found_base.quat, value)

    def _draw(self, is_rotation: bool, like: Tensor, sd: float) -> Tensor:
        if not sd:
            return torch.zeros_like(like)
        if not is_rotation:
            return sd * self._normal(like.shape)
        axis = self._normal(like.shape)
        return axis / axis.norm(dim=-1, keepdim=True) * (sd * self._normal((len(like), 1)))

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        offsets = {f"offset.{field.name}": offset.clone() for field, offset in self.offset.items()}
        return offsets | {"base_pos": self.base_pos.clone(), "base_quat": self.base_quat.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        for field, offset in self.offset.items():
            offset.copy_(state[f"offset.{field.name}"])
        self.base_pos.copy_(state["base_pos"])
        self.base_quat.copy_(state["base_quat"])
