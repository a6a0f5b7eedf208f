"""The policy artefact: what is saved is what acts, and anything else is refused."""

import hashlib
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy import stats

from policy import artefact
from policy.artefact import ArtefactError
from policy.network import Actor, NetworkConfig
from policy.runtime import PolicyRuntime
from robot.action import ActionContract
from robot.hand import model_hash
from robot.observation import ObservationContract

OBSERVATION = ObservationContract(("fingertip_pos", "object_pos", "goal_rel_quat"))
ACTION = ActionContract(smoothing=0.25)
NETWORK = NetworkConfig(hidden=24, lstm=16)


@pytest.fixture(scope="module")
def actor() -> Actor:
    generator = torch.Generator().manual_seed(0)
    actor = Actor(OBSERVATION.size, ACTION.size, ACTION.bins, NETWORK, generator)
    for parameter in actor.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    actor.trunk.normalizer.update(torch.randn(500, OBSERVATION.size, generator=generator) * 0.05 + 0.3)
    return actor


@pytest.fixture
def saved(actor: Actor, tmp_path: Path) -> Path:
    artefact.save(tmp_path / "policy", actor, OBSERVATION, ACTION, NETWORK, {"steps": 12})
    return tmp_path / "policy"


def edit_contract(directory: Path, **changes: object) -> None:
    path = directory / "contract.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_loaded_acts_as_what_was_saved(actor, saved):
    runtime, original = PolicyRuntime.load(saved), PolicyRuntime(actor, OBSERVATION, ACTION)
    assert runtime.policy_contract == OBSERVATION
    assert runtime.action_contract == ACTION
    states = [runtime.initial_state(1), original.initial_state(1)]
    for observation in torch.randn(20, 1, OBSERVATION.size, generator=torch.Generator().manual_seed(1)):
        action, states[0] = runtime.act(observation, states[0])
        expected, states[1] = original.act(observation, states[1])
        assert torch.equal(action, expected)
        assert torch.equal(*states)
    assert artefact.load(saved).golden_exact


def test_the_contract_says_what_the_policy_is(saved):
    contract = json.loads((saved / "contract.json").read_text())
    assert contract["observation"] == json.loads(json.dumps(OBSERVATION.describe()))
    assert contract["action"] == json.loads(json.dumps(ACTION.describe()))
    assert contract["network"] == asdict(NETWORK)
    assert contract["output"]["shape"] == ["n", 11, 20]
    assert contract["recurrent_state"]["shape"] == [2, "n", 16]
    assert contract["hand"]["model_hash"] == model_hash()
    assert contract["software"]["torch"] == torch.__version__
    assert contract["training"] == {"steps": 12}
    # a foreign reader finds the normalizer where the contract says
    with safe_open(saved / contract["normalizer"]["file"], "np") as weights:
        assert weights.get_tensor(contract["normalizer"]["mean"]).shape == (OBSERVATION.size,)
        assert weights.get_tensor(contract["normalizer"]["variance"]).dtype == np.float64
    golden = np.load(saved / "golden.npz", allow_pickle=False)
    assert golden["observation"].shape == (16, 1, OBSERVATION.size)
    assert golden["output"].shape == (16, 1, 11, 20)


@pytest.mark.parametrize("bins", [11, 0])
@pytest.mark.parametrize(
    "network",
    [
        NetworkConfig(24, 16, memory=False, critic_memory=False),
        NetworkConfig(24, 16, embedding=12, min_sigma=0.1),
    ],
)
def test_every_kind_of_network_is_kept(tmp_path, network, bins):
    action = ActionContract(bins=bins)
    actor = Actor(OBSERVATION.sizes, action.size, bins, network, torch.Generator().manual_seed(0))
    artefact.save(tmp_path / "policy", actor, OBSERVATION, action, network, {})
    runtime, original = PolicyRuntime.load(tmp_path / "policy"), PolicyRuntime(actor, OBSERVATION, action)
    observation = torch.randn(3, OBSERVATION.size)
    for generators in ((None, None), (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))):
        loaded, expected = (
            policy.act(observation, policy.initial_state(3), generator)[0]
            for policy, generator in zip((runtime, original), generators, strict=True)
        )
        assert torch.equal(loaded, expected)


def test_the_contract_tells_a_foreign_reader_what_a_continuous_output_means(tmp_path):
    network, action = NetworkConfig(24, 16, min_sigma=0.25), ActionContract(bins=0)
    actor = Actor(OBSERVATION.size, action.size, 0, network, torch.Generator().manual_seed(0))
    actor.head.weight.data *= 100.0
    artefact.save(tmp_path / "policy", actor, OBSERVATION, action, network, {})
    contract = json.loads((tmp_path / "policy" / "contract.json").read_text())
    assert contract["output"]["shape"] == ["n", 2, 20]
    assert "mean tanh(a) and standard deviation network.min_sigma + ln(1 + exp(b))" in contract["output"]["meaning"]
    golden = np.load(tmp_path / "policy" / "golden.npz", allow_pickle=False)
    a, b = golden["output"][0, 0].astype(np.float64)
    distribution = actor.distribution(torch.from_numpy(golden["output"][0]))
    np.testing.assert_allclose(distribution.mode()[0], np.tanh(a), rtol=1e-5, atol=1e-6)
    entropy = stats.norm.entropy(np.tanh(a), contract["network"]["min_sigma"] + np.log1p(np.exp(b))).sum()
    np.testing.assert_allclose(distribution.entropy()[0], entropy, rtol=1e-5)


@pytest.mark.parametrize("name", ["weights.safetensors", "contract.json", "golden.npz"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(ArtefactError, match=f"{name} is missing"):
        PolicyRuntime.load(saved)


@pytest.mark.parametrize("name", ["weights.safetensors", "golden.npz"])
def test_a_changed_file_is_refused(saved, name):
    data = bytearray((saved / name).read_bytes())
    data[-100] ^= 1
    (saved / name).write_bytes(data)
    with pytest.raises(ArtefactError, match=f"{name} was changed"):
        PolicyRuntime.load(saved)


def test_other_weights_fail_the_golden_check_even_with_a_matching_checksum(saved):
    weights = load_file(saved / "weights.safetensors")
    weights["head.bias"][0] += 0.01
    save_file(weights, saved / "weights.safetensors")
    sha256 = {
        name: hashlib.sha256((saved / name).read_bytes()).hexdigest() for name in ("weights.safetensors", "golden.npz")
    }
    edit_contract(saved, sha256=sha256)
    with pytest.raises(ArtefactError, match="golden check at step 0"):
        PolicyRuntime.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "format version 1; this program reads 2"),
        ({"format": "onnx"}, "not the contract of an inhand policy"),
        ({"hand": {"name": "other", "model_hash": "0123"}}, "trained on hand model 0123"),
        ({"network": {"hidden": 24, "lstm": 32}}, "does not fit"),
        ({"network": {"layers": 3}}, "does not fit"),
        ({"observation": [{"name": "nose_pos"}]}, "unknown observation field 'nose_pos'"),
    ],
)
def test_a_foreign_contract_is_refused(saved, changes, message):
    edit_contract(saved, **changes)
    with pytest.raises(ArtefactError, match=message):
        PolicyRuntime.load(saved)


def test_a_contract_whose_meaning_changed_is_refused(saved):
    contract = json.loads((saved / "contract.json").read_text())
    contract["observation"][0]["frame"] = "world"
    edit_contract(saved, observation=contract["observation"])
    with pytest.raises(ArtefactError, match="another observation contract"):
        PolicyRuntime.load(saved)
    (saved / "contract.json").write_text("{ not json")
    with pytest.raises(ArtefactError, match="cannot be read"):
        PolicyRuntime.load(saved)


def test_saving_again_replaces_and_never_touches_other_directories(actor, saved):
    artefact.save(saved, actor, OBSERVATION, ACTION, NETWORK, {"steps": 13})
    assert artefact.load(saved).contract["training"] == {"steps": 13}
    assert [path.name for path in saved.parent.iterdir()] == ["policy"]
    other = saved.parent / "photos"
    other.mkdir()
    with pytest.raises(ArtefactError, match="is no policy artefact"):
        artefact.save(other, actor, OBSERVATION, ACTION, NETWORK, {})


def test_an_export_that_is_killed_between_its_renames_says_so_and_the_next_one_cleans_up(actor, saved, monkeypatch):
    rename = Path.rename

    def killed_at_the_second(path: Path, target: Path) -> Path:
        if target == saved:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        artefact.save(saved, actor, OBSERVATION, ACTION, NETWORK, {"steps": 13})
    monkeypatch.undo()
    with pytest.raises(ArtefactError, match=r"cut short.*mv .*\.policy\.replaced .*policy"):
        artefact.load(saved)
    assert artefact.load(saved.with_name(".policy.replaced")).contract["training"] == {"steps": 12}
    artefact.save(saved, actor, OBSERVATION, ACTION, NETWORK, {"steps": 14})
    assert artefact.load(saved).contract["training"] == {"steps": 14}
    assert [path.name for path in saved.parent.iterdir()] == ["policy"]


def test_the_commit_is_that_of_the_source_tree_and_of_no_repository_around_it(tmp_path):
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init")
    (tmp_path / "a").write_text("a")
    git("add", "a")
    git("commit", "-m", "a")
    commit = git("rev-parse", "HEAD").strip()
    assert artefact.git_hash(tmp_path) == commit
    (tmp_path / "a").write_text("b")
    assert artefact.git_hash(tmp_path) == f"{commit}-dirty"
    (tmp_path / "site-packages").mkdir()
    assert artefact.git_hash(tmp_path / "site-packages") is None
