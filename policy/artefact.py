"""The policy artefact: a trained policy as a directory that says what it is and proves that it still is the same.

``weights.safetensors`` holds the actor, its normalizer included; ``contract.json`` what goes in and out, the hand, the
software and the training; ``golden.npz`` inputs and the outputs they gave when the artefact was made.
"""

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from policy.network import Actor
from policy.network_config import NetworkConfig
from robot.action import ActionContract
from robot.files import sync
from robot.hand import NAME, model_hash
from robot.observation import ObservationContract

FORMAT = "inhand-policy"
VERSION = 2
ROOT = Path(__file__).resolve().parents[1]
"""Where the packages lie: a source tree, or the packages of an environment."""
WEIGHTS, CONTRACT, GOLDEN = "weights.safetensors", "contract.json", "golden.npz"
GOLDEN_STEPS = 16
OUTPUTS = {
    True: "logits of the classes of each actuator; class i of k is the unit action 2 i / (k - 1) - 1",
    False: "a and b of each actuator: the unit action is normally distributed with mean tanh(a) and standard deviation "
    "network.min_sigma + ln(1 + exp(b))",
}
"""What a network's output means, with bins and without."""
TOLERANCE = 1e-5
"""Golden outputs may differ so much (absolutely and relatively): another CPU sums in another order."""


class ArtefactError(Exception):
    """A policy artefact is missing, damaged, of another format, or not for this hand."""


@dataclass(frozen=True)
class Artefact:
    """A loaded and checked policy."""

    actor: Actor
    policy_contract: ObservationContract
    action_contract: ActionContract
    contract: dict[str, Any]
    """``contract.json``."""
    golden_exact: bool
    """The golden outputs came out equal to the last bit, not only within the tolerance."""


def save(
    directory: Path,
    actor: Actor,
    policy_contract: ObservationContract,
    action_contract: ActionContract,
    network: NetworkConfig,
    training: Mapping[str, Any],
) -> None:
    """Writes an artefact; an older one of the same name is replaced once the new one is complete.

    Args:
        directory: where.
        actor: the policy.
        policy_contract: what it reads.
        action_contract: what its outputs mean.
        network: what ``actor`` was made with.
        training: how it was trained, plain data.

    Raises:
        ArtefactError: if ``directory`` exists and is no policy artefact.
    """
    if directory.exists() and not (directory / CONTRACT).is_file():
        raise ArtefactError(f"{directory} exists and is no policy artefact; give another directory")
    partial, replaced = _beside(directory, "partial"), _beside(directory, "replaced")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in actor.state_dict().items()}
    save_file(weights, partial / WEIGHTS)
    _write_golden(partial / GOLDEN, _build(network, policy_contract, action_contract, weights))
    contract = {
        "format": FORMAT,
        "version": VERSION,
        "observation": policy_contract.describe(),
        "normalizer": {
            "file": WEIGHTS,
            "mean": "trunk.normalizer.mean",
            "variance": "trunk.normalizer.var",
            "clip": actor.trunk.normalizer.clip,
        },
        "action": action_contract.describe(),
        "network": asdict(network),
        "output": {"shape": ["n", *actor.output_shape], "meaning": OUTPUTS[bool(actor.bins)]},
        "recurrent_state": {"shape": [2, "n", actor.trunk.state_width], "initial": 0.0, "parts": ["hidden", "cell"]},
        "hand": {"name": NAME, "model_hash": model_hash()},
        "software": _software(),
        "git": git_hash(),
        "training": dict(training),
        "sha256": {name: _sha256(partial / name) for name in (WEIGHTS, GOLDEN)},
    }
    (partial / CONTRACT).write_bytes(msgspec.json.format(msgspec.json.encode(contract)) + b"\n")
    for path in (*partial.iterdir(), partial):
        sync(path)
    if directory.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        directory.rename(replaced)
    partial.rename(directory)
    sync(directory.parent)
    shutil.rmtree(replaced, ignore_errors=True)  # this one, or what a killed export left


def recover(directory: Path) -> None:
    """Takes back what an export to ``directory`` had moved aside, if it was cut short before it had a successor."""
    replaced = _beside(directory, "replaced")
    if not directory.exists() and replaced.is_dir():
        replaced.rename(directory)


def load(directory: Path) -> Artefact:
    """Loads an artefact on the CPU and checks it.

    Raises:
        ArtefactError: if a file is missing or was changed, the format or a contract is not this program's, the policy
            was trained on another hand model, or the golden outputs do not come out again.
    """
    replaced = _beside(directory, "replaced")
    if not directory.exists() and replaced.is_dir():
        raise ArtefactError(
            f"{directory} is missing, because its export was cut short: export it again, or take back the policy that "
            f"it was to replace: mv {replaced} {directory}"
        )
    if not directory.is_dir():
        raise ArtefactError(f"there is no policy artefact at {directory}: no such directory")
    inner = directory / "policy"
    if not (directory / CONTRACT).exists() and (inner / CONTRACT).is_file():
        raise ArtefactError(f"{directory} is a training run; its policy artefact is {inner}")
    for name in (CONTRACT, WEIGHTS, GOLDEN):
        if not (directory / name).is_file():
            raise ArtefactError(f"{directory} is no complete policy artefact: {name} is missing")
    contract = _read_contract(directory)
    for name, digest in contract["sha256"].items():
        if _sha256(directory / name) != digest:
            raise ArtefactError(f"{directory / name} was changed after the policy was saved")
    if contract["hand"]["model_hash"] != model_hash():
        raise ArtefactError(
            f"{directory} was trained on hand model {contract['hand']['model_hash']}, this program has {model_hash()}"
        )
    try:
        policy_contract = ObservationContract(tuple(field["name"] for field in contract["observation"]))
        action = {name: contract["action"][name] for name in ActionContract.__dataclass_fields__}
        action_contract = ActionContract(**action)
        network = NetworkConfig(**contract["network"])
        weights = load_file(directory / WEIGHTS)
        actor = _build(network, policy_contract, action_contract, weights)
    except (ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(f"{directory} does not fit this program: {error}") from error
    for name, saved, present in (
        ("observation", contract["observation"], policy_contract.describe()),
        ("action", contract["action"], action_contract.describe()),
    ):
        # through JSON, in which a tuple is a list and every float has its shortest form
        if saved != msgspec.json.decode(msgspec.json.encode(present)):
            raise ArtefactError(f"{directory} was made under another {name} contract than this program's")
    return Artefact(actor, policy_contract, action_contract, contract, _check_golden(directory, actor))


@dataclass(frozen=True)
class Restored:
    """The policy of a training checkpoint: the arguments of ``save``."""

    actor: Actor
    policy_contract: ObservationContract
    action_contract: ActionContract
    network: NetworkConfig


def restore(checkpoint: Mapping[str, Any]) -> Restored:
    """The policy in the content of a training checkpoint, on the CPU.

    Raises:
        ArtefactError: if it was made by another version of this program, whose networks, contracts or hand differ.
    """
    if checkpoint.get("hand") != model_hash():
        made = checkpoint.get("hand", "unknown, for it was made by an older version")
        raise ArtefactError(f"the hand model of the checkpoint is {made}; this program has {model_hash()}")
    try:
        policy_contract = ObservationContract(tuple(checkpoint["observation"]["policy"]))
        action_contract = ActionContract(**{n: checkpoint["action"][n] for n in ActionContract.__dataclass_fields__})
        network = NetworkConfig(**checkpoint["config"]["network"])
        actor = _build(network, policy_contract, action_contract, checkpoint["actor"])
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ArtefactError(f"the checkpoint does not fit this program: {error}") from error
    if checkpoint["action"] != action_contract.describe():
        raise ArtefactError("the checkpoint was made under another action contract than this program's")
    return Restored(actor, policy_contract, action_contract, network)


def git_hash(root: Path = ROOT) -> str | None:
    """The commit of the source tree ``root``, marked if files differ from it; None if it is no repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # an installed copy may lie in an environment within somebody else's repository
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(root.parent)}
    try:
        result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def _beside(directory: Path, what: str) -> Path:
    """A hidden directory beside an artefact, under a name that nobody gives to a copy of their own."""
    return directory.with_name(f".{directory.name}.{what}")


def _read_contract(directory: Path) -> dict[str, Any]:
    path = directory / CONTRACT
    try:
        contract = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error
    if contract.get("format") != FORMAT:
        raise ArtefactError(f"{path} is not the contract of an inhand policy")
    if contract.get("version") != VERSION:
        raise ArtefactError(f"{path} has format version {contract.get('version')}; this program reads {VERSION}")
    missing = {"observation", "action", "network", "hand", "sha256"} - contract.keys()
    if missing:
        raise ArtefactError(f"{path} lacks {', '.join(sorted(missing))}")
    return contract


def _build(
    network: NetworkConfig, policy: ObservationContract, action: ActionContract, weights: dict[str, Tensor]
) -> Actor:
    actor = Actor(policy.sizes, action.size, action.bins, network, torch.Generator())
    actor.load_state_dict(weights)
    return actor


@torch.inference_mode()
def _write_golden(path: Path, actor: Actor) -> None:
    """Records inputs like those seen in training, of one hand, and what the actor makes of them."""
    generator = torch.Generator().manual_seed(0)
    normalizer = actor.trunk.normalizer
    observation = torch.randn(GOLDEN_STEPS, 1, len(normalizer.mean), generator=generator)
    observation = normalizer.inverse(observation)
    states, outputs = [actor.initial_state(1)], []
    for step in observation:
        output, state = actor.step(step, states[-1])
        outputs.append(output)
        states.append(state)
    np.savez(
        path,
        observation=observation.numpy(),
        state=torch.stack(states).numpy(),
        output=torch.stack(outputs).numpy(),
    )


@torch.inference_mode()
def _check_golden(directory: Path, actor: Actor) -> bool:
    """Whether the golden outputs come out bit for bit; ArtefactError if not even within the tolerance."""
    with np.load(directory / GOLDEN, allow_pickle=False) as file:
        observation, states, outputs = (torch.from_numpy(file[name]) for name in ("observation", "state", "output"))
    exact = True
    for step in range(len(observation)):
        for got, golden in zip(
            actor.step(observation[step], states[step]), (outputs[step], states[step + 1]), strict=True
        ):
            exact &= torch.equal(got, golden)
            if not torch.allclose(got, golden, rtol=TOLERANCE, atol=TOLERANCE):
                worst = (got - golden).abs().max().item()
                raise ArtefactError(f"{directory} fails its golden check at step {step}: off by {worst:.2e}")
    return exact


def _software() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("inhand", "torch", "numpy", "mujoco", "safetensors"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
