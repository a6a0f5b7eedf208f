"""A policy artefact as one ONNX file, for runtimes that know nothing of torch.

The graph is one control step: ``observation`` (n, p) and ``state`` (2, n, width) in; ``action`` (n, 20),
``distribution`` and ``next_state`` out; n is free. Normalization is part of it. ``policy/onnx_metadata.py`` says what
else is in the file.
"""

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from policy import artefact
from policy.artefact import Artefact
from policy.network import Actor
from policy.onnx_metadata import INPUTS, OUTPUTS, USE, describe_action_path
from robot.action import ActionContract
from robot.files import replacing

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""Of the operators; onnxruntime reads it since 1.14 (2023)."""


class ExportUnavailable(RuntimeError):
    """What the export needs is not installed."""


class ExportError(RuntimeError):
    """The ONNX model does not do what the artefact does."""


def export(directory: Path, file: Path) -> float | None:
    """Writes a policy artefact as an ONNX model, the whole of it or nothing.

    The model is run on the artefact's golden inputs in onnxruntime before ``file`` appears, if that is installed.

    Args:
        directory: the artefact.
        file: an older one is replaced.

    Returns:
        How far the golden outputs are missed at most; None if there is no onnxruntime to check with.

    Raises:
        ArtefactError: see ``artefact.load``.
        ExportUnavailable: if packages are missing.
        ExportError: if the golden outputs do not come out within the artefact's tolerance.
    """
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise ExportUnavailable(f"the export needs {package}: pip install -e '.[onnx]'")
    policy = artefact.load(directory)
    model = to_onnx(policy).SerializeToString()
    worst = check(model, directory, policy) if importlib.util.find_spec("onnxruntime") else None
    with replacing(file) as out:
        out.write(model)
    return worst


class _Step(nn.Module):
    """What ``PolicyRuntime.act`` does without a generator, but for its checks."""

    def __init__(self, actor: Actor, contract: ActionContract) -> None:
        super().__init__()
        self.actor = actor
        self.contract = contract

    def forward(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output, state = self.actor.step(observation, state)
        return _most_probable(self.actor, output, self.contract), output, state


def _most_probable(actor: Actor, output: Tensor, contract: ActionContract) -> Tensor:
    return contract.unit(actor.distribution(output).mode())


def to_onnx(policy: Artefact) -> "ModelProto":
    """The model, with its metadata."""
    import onnx

    actor, action = policy.actor, policy.action_contract
    n = torch.export.Dim("n")
    # two hands: of a batch of one torch.export would conclude that it is always one
    example = (torch.zeros(2, policy.policy_contract.size), actor.initial_state(2))
    step = _Step(actor, action).eval()
    with _quiet():
        program = torch.onnx.export(
            step,
            example,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: n}, {1: n}),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    _declare(model.graph.input, example, INPUTS)
    _declare(model.graph.output, step(*example), OUTPUTS)
    model.doc_string = USE
    onnx.helper.set_model_props(
        model,
        {
            "contract": json.dumps(policy.contract),
            "action_path": json.dumps(describe_action_path(action)),
            "use": USE,
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _strip(model: "ModelProto") -> None:
    """Takes away the source lines and paths that the exporter leaves at nodes, and the shapes in between.

    A reader infers those itself; torch 2.11 writes wrong ones behind an LSTM.
    """
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def _declare(values: Any, tensors: Sequence[Tensor], texts: Mapping[str, str]) -> None:
    """Writes down anew what goes in or out: a shape like that of a tensor, with n hands, and a description."""
    from onnx import TensorProto, helper

    declared = []
    for (name, text), tensor in zip(texts.items(), tensors, strict=True):
        shape: list[int | str] = list(tensor.shape)
        shape[1 if "state" in name else 0] = "n"
        declared.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape, text))
    del values[:]
    values.extend(declared)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's news about its own insides (deprecations, every pass over the graph) from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def check(model: bytes, directory: Path, policy: Artefact) -> float:
    """How far the golden outputs of an artefact are missed at most, by a model in onnxruntime.

    Raises:
        ExportError: if by more than the artefact's tolerance.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    worst = 0.0
    with np.load(directory / artefact.GOLDEN, allow_pickle=False) as golden:
        states, outputs = golden["state"], golden["output"]
        for step, observation in enumerate(golden["observation"]):
            feed = {"observation": observation, "state": states[step]}
            action, output, state = map(np.asarray, session.run(list(OUTPUTS), feed))
            # the action against the model's own distribution: between equally probable bins, rounding may choose
            expected = _most_probable(policy.actor, torch.from_numpy(output), policy.action_contract).numpy()
            for name, got, wanted in (
                ("distribution", output, outputs[step]),
                ("next_state", state, states[step + 1]),
                ("action", action, expected),
            ):
                off = float(np.abs(got - wanted).max(initial=0.0))
                # another order of summation shows at the size of the terms, not at that of their sum
                if not off <= artefact.TOLERANCE * max(1.0, np.abs(wanted).max(initial=0.0)):
                    raise ExportError(f"the ONNX model of {directory} misses {name} at golden step {step} by {off:.2e}")
                worst = max(worst, off)
    return worst
