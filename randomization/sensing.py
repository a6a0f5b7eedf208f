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
        self.fingertip_marker_noise = config.fingertip_marker_noise
        self.base_marker_noise = config.base_marker_noise
        # rotations are kept as rotation vectors, three numbers
        self.offset = {
            field: torch.zeros(n, *(field.shape[:-1] + (3,) if field.unit == "wxyz" else field.shape), device=device)
            for field in self.terms
        }
        self.marker_offset = torch.zeros(n, 5, 3, device=device)
        self.base_pos = torch.zeros(n, 3, device=device)
        self.base_quat = rotation.identity(n, device)

    def reset(self, ids: Tensor) -> None:
        """Draws the offsets of a new episode for worlds ``ids``, (m,)."""
        for field, term in self.terms.items():
            self.offset[field][ids] = self._draw(field.unit == "wxyz", self.offset[field][ids], term.correlated)
        if self.fingertip_marker_noise:
            self.marker_offset[ids] = self.fingertip_marker_noise * self._normal((len(ids), 5, 3))
        if self.base_marker_noise:
            model = torch.tensor(BASE_MARKER_POS, device=self.base_pos.device)
            displaced = model + self.base_marker_noise * self._normal((len(ids), *model.shape))
            # the frame a motion-capture system would find, which believes the markers to be where the model has them
            found, _ = fit_points(model, displaced)
            self.base_pos[ids], self.base_quat[ids] = found.pos, found.quat

    def apply(self, measurement: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same fields as measured with noise; fields without noise pass unchanged."""
        noisy = dict(measurement)
        if self.fingertip_marker_noise:
            displaced = rotation.rotate(measurement["fingertip_quat"], self.marker_offset)
            noisy["fingertip_pos"] = measurement["fingertip_pos"] + displaced
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
            pos, quat = T_found_base.pos, T_found_base.quat
            if value.dim() == 3:
                pos, quat = pos.unsqueeze(1), quat.unsqueeze(1)
            if name in ("fingertip_pos", "object_pos"):
                measurement[name] = Pose(pos, quat).apply(value)
            elif name in ("fingertip_quat", "object_quat"):
                measurement[name] = rotation.multiply(quat, value)
            elif name in ("object_linvel", "object_angvel"):
                measurement[name] = rotation.rotate(quat, value)

    def _draw(self, is_rotation: bool, like: Tensor, sd: float) -> Tensor:
        if not sd:
            return torch.zeros_like(like)
        if not is_rotation:
            return sd * self._normal(like.shape)
        axis = self._normal(like.shape)
        return axis / axis.norm(dim=-1, keepdim=True) * (sd * self._normal((*like.shape[:-1], 1)))

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        offsets = {f"offset.{field.name}": offset.clone() for field, offset in self.offset.items()}
        return offsets | {name: getattr(self, name).clone() for name in ("marker_offset", "base_pos", "base_quat")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        for field, offset in self.offset.items():
            offset.copy_(state[f"offset.{field.name}"])
        for name in ("marker_offset", "base_pos", "base_quat"):
            getattr(self, name).copy_(state[name])
