"""Motion-capture markers that sit off their places (D18 Table 7)."""

import torch
from torch import Tensor

from randomization.draws import Source, total
from randomization.memory import Memory
from randomization.terms import SensorTerm
from robot import rotation
from robot.frames import Pose, best_fit
from robot.hand import BASE_MARKER_POS


class Markers(Memory):
    """Misplaced markers: those on fingertips move with their fingers, those on the hand's base move the base frame."""

    def __init__(self, terms: dict[str, SensorTerm], n: int, source: Source) -> None:
        super().__init__()
        chosen = [(term.fields, source.draw(key, term.draw)) for key, term in terms.items() if term.effect == "markers"]
        self.fingertip = [draw for fields, draw in chosen if "fingertip_pos" in fields]
        self.base = [draw for fields, draw in chosen if "base" in fields]
        device = source.generator.device
        self.model = torch.tensor(BASE_MARKER_POS, device=device)
        self.offset = self.remember("offset", torch.zeros(n, 5, 3, device=device))
        self.base_pos = self.remember("base_pos", torch.zeros(n, 3, device=device))
        self.base_quat = self.remember("base_quat", rotation.identity(n, device))

    def reset(self, ids: Tensor) -> None:
        """Draws where the markers of worlds ``ids``, (m,), sit."""
        if self.fingertip:
            self.offset[ids] = total(draw(ids, 5, 3) for draw in self.fingertip)
        if self.base:
            displaced = self.model + total(draw(ids, *self.model.shape) for draw in self.base)
            # the frame a motion-capture system would find, which believes the markers to be where the model has them
            found = best_fit(self.model, displaced)
            self.base_pos[ids], self.base_quat[ids] = found.pos, found.quat

    def apply(self, seen: dict[str, Tensor], exact: dict[str, Tensor]) -> None:
        """Changes the measured fields."""
        if self.fingertip:
            seen["fingertip_pos"] = seen["fingertip_pos"] + rotation.rotate(exact["fingertip_quat"], self.offset)
        if self.base:
            T_found_base = Pose(self.base_pos, self.base_quat).inverse()
            for name, value in seen.items():
                seen[name] = _moved(name, value, T_found_base)


def _moved(name: str, value: Tensor, T_found_base: Pose) -> Tensor:
    pos, quat = T_found_base.pos, T_found_base.quat
    if value.dim() == 3:
        pos, quat = pos.unsqueeze(1), quat.unsqueeze(1)
    if name in ("fingertip_pos", "object_pos"):
        return Pose(pos, quat).apply(value)
    if name in ("fingertip_quat", "object_quat"):
        return rotation.multiply(quat, value)
    if name in ("object_linvel", "object_angvel"):
        return rotation.rotate(quat, value)
    return value
