"""The ONNX export: training network, artefact and ONNX model agree, and the file alone is enough to deploy it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from policy import artefact
from policy.network import Actor, NetworkConfig
from policy.onnx import ExportError, ExportUnavailable, check, export, to_onnx
from policy.runtime import PolicyRuntime
from robot.action import ActionContract, ActionPath
from robot.hand import actuator_range
from robot.observation import ObservationContract

OBSERVATION = ObservationContract(("fingertip_pos", "object_pos", "goal_rel_quat"))
POLICIES = {
    "lstm": (NetworkConfig(hidden=32, lstm=16), ActionContract()),
    "ff": (NetworkConfig(hidden=32, lstm=16, memory=False), ActionContract(bins=5)),
    "absolute": (NetworkConfig(hidden=8, lstm=24), ActionContract(mode="absolute", smoothing=0.0, period=0.1)),
    "embed_add": (NetworkConfig(hidden=32, lstm=16, embedding=24), ActionContract()),
    "gaussian": (NetworkConfig(hidden=32, lstm=16), ActionContract(bins=0)),
    "dactyl": (NetworkConfig(hidden=1024, lstm=512), ActionContract(smoothing=0.25)),
}
"""Every kind of network and of actions that can be exported."""
STEPS = 200


def trained(name: str) -> Actor:
    """An actor whose weights, biases and normalizer are none of those that it begins with."""
    network, action = POLICIES[name]
    generator = torch.Generator().manual_seed(0)
    actor = Actor(OBSERVATION.sizes, action.size, action.bins, network, generator)
    for parameter in actor.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    actor.head.weight.data *= 50.0  # one bin of each actuator is far more probable than the others
    actor.trunk.normalizer.update(torch.randn(500, OBSERVATION.size, generator=generator) * 0.05 + 0.3)
    return actor


def save(directory: Path, name: str) -> Path:
    network, action = POLICIES[name]
    artefact.save(directory, trained(name), OBSERVATION, action, network, {})
    return directory


@pytest.fixture(scope="module", params=POLICIES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a policy, and a directory with the artefact ``policy`` and the model ``policy.onnx``."""
    directory = tmp_path_factory.mktemp(request.param)
    worst = export(save(directory / "policy", request.param), directory / "policy.onnx")
    assert worst is not None and worst < 1e-3
    return request.param, directory


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the policy ``lstm``, as the command line writes it."""
    directory = tmp_path_factory.mktemp("export")
    save(directory / "policy", "lstm")
    command = [sys.executable, "-m", "inhand.cli", "export", str(directory / "policy"), f"out={directory}/policy.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert "golden outputs come out to" in done.stdout
    assert len(done.stdout.splitlines()) == 2, done.stdout  # and nothing of what the exporter says to itself
    assert done.stderr == ""
    return directory


@pytest.mark.parametrize("n", [1, 5])
@torch.no_grad()
def test_training_network_artefact_and_model_agree(exported: tuple[str, Path], n: int):
    name, directory = exported
    runtime = PolicyRuntime.load(directory / "policy")
    session = onnxruntime.InferenceSession(directory / "policy.onnx")
    generator = torch.Generator().manual_seed(n)
    # some lie outside of what the normalizer clips to
    observations = 0.3 + 0.1 * torch.randn(STEPS, n, OBSERVATION.size, generator=generator)
    starts = torch.rand(STEPS, n, generator=generator) < 0.02

    state = foreign = runtime.initial_state(n)
    actions, foreign_actions, distributions = [], [], []
    for observation, start in zip(observations, starts, strict=True):
        going_on = ~start.unsqueeze(-1)
        action, state = runtime.act(observation, state * going_on)
        feed = {"observation": observation.numpy(), "state": (foreign * going_on).numpy()}
        foreign_action, distribution, foreign = map(torch.from_numpy, session.run(None, feed))
        actions.append(action)
        foreign_actions.append(foreign_action)
        distributions.append(distribution)
    torch.testing.assert_close(foreign, state, rtol=1e-4, atol=1e-4)
    expected = trained(name).sequence(observations, runtime.initial_state(n), starts)
    torch.testing.assert_close(torch.stack(distributions), expected, rtol=1e-3, atol=1e-3)
    clear = has_clear_mode(expected, runtime.action_contract)
    assert clear.float().mean() > 0.99
    torch.testing.assert_close(torch.stack(foreign_actions)[clear], torch.stack(actions)[clear], rtol=0.0, atol=1e-3)


def has_clear_mode(output: torch.Tensor, contract: ActionContract) -> torch.Tensor:
    """Where the most probable action is not for rounding to say, as it is between two bins, (..., actuators)."""
    if not contract.bins:
        return torch.ones_like(output[..., 0, :], dtype=torch.bool)
    first, second = output.topk(2, dim=-2).values.unbind(-2)
    return first - second > 2e-3


def test_the_file_holds_the_contract(lstm: Path):
    model = onnx.load(lstm / "policy.onnx")
    assert metadata(lstm)["contract"] == json.loads((lstm / "policy" / "contract.json").read_text())
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "observation": ["n", OBSERVATION.size],
        "state": [2, "n", 16],
        "action": ["n", 20],
        "distribution": ["n", 11, 20],
        "next_state": [2, "n", 16],
    }
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))


def metadata(directory: Path) -> dict:
    session = onnxruntime.InferenceSession(directory / "policy.onnx")
    texts = session.get_modelmeta().custom_metadata_map
    return {name: json.loads(texts[name]) for name in ("contract", "action_path")}


def test_the_action_path_that_the_file_describes_is_ours(exported: tuple[str, Path]):
    """Its statements, run in numpy with nothing but its own figures."""
    name, directory = exported
    described = metadata(directory)["action_path"]
    names: dict[str, Any] = {key: np.array(described[key]) for key in ("keep", "stroke", "reach", "lower", "upper")}
    names["clamp"] = np.clip
    path = ActionPath(POLICIES[name][1], 1)
    lower, upper = actuator_range()
    generator = torch.Generator().manual_seed(0)
    for t in range(50):
        position = lower + (upper - lower) * (1.2 * torch.rand(1, 20, generator=generator) - 0.1)
        action = 1.1 * (2.0 * torch.rand(1, 20, generator=generator) - 1.0)
        names |= {"position": position.numpy(), "action": action.numpy()}
        if t == 0:
            path.reset(torch.tensor([0]), position)
            exec("\n".join(described["start"]), names)
        exec("\n".join(described["step"]), names)
        np.testing.assert_allclose(names["target"], path.step(action, position), atol=1e-5)


def test_a_model_that_does_something_else_is_not_written(lstm: Path, tmp_path: Path):
    other = artefact.load(save(tmp_path / "other", "lstm"))
    other.actor.head.bias.data[3] += 0.01
    with pytest.raises(ExportError, match="misses distribution at golden step 0 by 1"):
        check(to_onnx(other).SerializeToString(), lstm / "policy", other)


def test_the_file_says_nothing_of_this_machine(lstm: Path):
    assert str(Path(__file__).parents[2]).encode() not in (lstm / "policy.onnx").read_bytes()


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_what_is_missing_is_named(package: str, lstm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ExportUnavailable, match=rf"needs {package}: pip install -e '.\[onnx\]'"):
        export(lstm / "policy", tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnxruntime_it_is_written_unchecked(lstm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert export(lstm / "policy", tmp_path / "policy.onnx") is None
    assert [path.name for path in tmp_path.iterdir()] == ["policy.onnx"]
