"""What an effect remembers from step to step: tensors that are saved and restored with the simulation."""

from typing import TypeVar

from torch import Tensor

M = TypeVar("M", bound="Memory")


class Memory:
    """Tensors by name, changed only in place, those of other effects included."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._parts: dict[str, Memory] = {}

    def remember(self, name: str, tensor: Tensor) -> Tensor:
        """Saves and restores ``tensor`` from now on."""
        self._tensors[name] = tensor
        return tensor

    def include(self, name: str, part: M) -> M:
        """Saves and restores what ``part`` remembers from now on."""
        self._parts[name] = part
        return part

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        state = {name: tensor.clone() for name, tensor in self._tensors.items()}
        for name, part in self._parts.items():
            state |= {f"{name}.{inner}": tensor for inner, tensor in part.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        for name, tensor in self._tensors.items():
            tensor.copy_(state[name])
        for name, part in self._parts.items():
            inside = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            part.load_state_dict(inside)
