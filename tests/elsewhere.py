"""A device that is the CPU by another name: what a GPU would refuse is refused here, where there is none.

Inside ``elsewhere()`` tensors of ``DEVICE`` are computed on the CPU, but meet tensors of the CPU only where a GPU's
would: in copies, as indices, and as single numbers. Code that forgets where a tensor lies fails as it would fail on a
GPU, and what makes the host wait for the device is counted.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten

DEVICE = torch.device("meta")
"""A device that every torch knows and none of our code asks for."""

COPIES = (aten._to_copy.default, aten.copy_.default)
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
ASK_HOW_MANY = (aten.nonzero.default, aten._unique2.default, aten.unique_dim.default, aten.masked_select.default)
"""The shape of what they return depends on the numbers: the host waits for it."""


class Elsewhere(Tensor):
    """A tensor of ``DEVICE``; ``held`` holds its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Elsewhere":
        self = Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        self.held = held
        return self

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"Elsewhere({self.held!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """What is saved comes to the CPU when it is loaded: ``policy.checkpoint`` asks for nothing else."""
        return self.held.__reduce_ex__(protocol)

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


class _Generator(torch.Generator):
    """A generator that says it lies on ``DEVICE``."""

    def __new__(cls, device: Any = "cpu") -> torch.Generator:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__new__(cls) if torch.device(device) == DEVICE else torch._C.Generator(device)

    def __init__(self, device: Any = "cpu") -> None: ...

    device = DEVICE  # pyright: ignore[reportAssignmentType,reportIncompatibleVariableOverride]


class _Autocast(torch.autocast):
    """Knows ``DEVICE``, which computes everything in its own precision."""

    def __init__(self, device_type: str, dtype: torch.dtype | None = None, enabled: bool = True) -> None:
        away = device_type == DEVICE.type
        super().__init__("cpu" if away else device_type, dtype, enabled and not away)


waits: Counter[str] = Counter()
"""How often the host waited for the device, by operation; for copies in both directions, too."""


@contextmanager
def elsewhere(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, ``DEVICE`` is a device like another; ``waits`` begins at nothing."""
    waits.clear()
    future = torch.__future__
    overwrite = future.get_overwrite_module_params_on_conversion()
    with patch.context() as inside, warnings.catch_warnings(), _Function(), _Dispatch():
        inside.setattr(torch, "Generator", _Generator)
        inside.setattr(torch, "autocast", _Autocast)
        devices = "_get_fused_kernels_supported_devices"
        inside.setattr(sys.modules["torch.optim.optimizer"], devices, lambda: ["cpu", DEVICE.type])
        warnings.filterwarnings("ignore", "for .* copying from a non-meta parameter")  # here they are real numbers
        future.set_overwrite_module_params_on_conversion(True)
        try:
            yield
        finally:
            future.set_overwrite_module_params_on_conversion(overwrite)


def _dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation: refused, or computed on what the tensors hold."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    reads = any(isinstance(each, Elsewhere) for each in tensors)
    if func is aten.copy_.default:
        away = isinstance(args[0], Elsewhere)
    else:
        away = reads if kwargs.get("device") is None else kwargs["device"] == DEVICE
    if reads and func not in COPIES:
        _require_elsewhere(func, args, tensors)
    asks = reads and (_asks_how_many(func, args) or func is aten._local_scalar_dense.default)
    source = args[func is aten.copy_.default] if func in COPIES else None
    if asks or (source is not None and isinstance(source, Elsewhere) != away):
        waits[str(func)] += 1
    if kwargs.get("device") == DEVICE:
        kwargs = kwargs | {"device": torch.device("cpu")}
    held_args, held_kwargs = tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, (args, kwargs))
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():  # of what is made in it nothing could be a view
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        result = func(*held_args, **held_kwargs)
        if not away:
            return result
        wrapped = tree_map(lambda x: Elsewhere(x) if type(x) is Tensor else x, result)
        return return_and_correct_aliasing(func, args, kwargs, wrapped)


def _asks_how_many(func: Any, args: Any) -> bool:
    masks = [each for each in args[1] if each is not None and each.dtype == torch.bool] if func in INDEXED else []
    return func in ASK_HOW_MANY or bool(masks)


def _require_elsewhere(func: Any, args: Any, tensors: list[Tensor]) -> None:
    if func in INDEXED and not isinstance(args[0], Elsewhere):
        raise RuntimeError(f"{func}: a tensor on {args[0].device} is indexed by one that lies elsewhere")
    indices = {id(index) for index in args[1]} if func in INDEXED else set()
    for each in tensors:
        if not isinstance(each, Elsewhere) and each.dim() and id(each) not in indices:
            raise RuntimeError(f"{func}: a tensor of shape {tuple(each.shape)} lies on {each.device}, others elsewhere")


class _Dispatch(TorchDispatchMode):
    """For operations without tensors, which make them."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(func, args, kwargs or {})


class _Function(TorchFunctionMode):
    """For what never reaches the dispatcher: Python's numbers and lists, and the devices of generators."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if (generator := kwargs.get("generator")) is not None:
            like = [each.device for each in args if isinstance(each, Tensor)]
            device = torch.device(kwargs.get("device") or (like[0] if like else "cpu"))
            if device.type != generator.device.type:
                raise RuntimeError(f"{func}: what is drawn lies on {device}, the generator on {generator.device}")
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == DEVICE:
            return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        if args and isinstance(args[0], Elsewhere):
            if func in (Tensor.tolist, Tensor.__format__):
                return func(args[0].cpu(), *args[1:])
            by_index = func is Tensor.__setitem__ and any(isinstance(leaf, Tensor) for leaf in tree_leaves(args[1]))
            if by_index and not isinstance(args[2], Tensor):
                waits["number written by index"] += 1  # it is copied to the device first, and the host waits for it
            if func in (Tensor.__getitem__, Tensor.__setitem__):
                index = tree_map(_index, args[1], is_leaf=lambda x: isinstance(x, list))
                args = (args[0], index, *args[2:])
        return func(*args, **kwargs)


def _index(value: Any) -> Any:
    return torch.tensor(value).to(DEVICE) if isinstance(value, list) else value
