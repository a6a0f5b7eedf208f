"""Networks with more fields than they had: the same answers at first, whatever the new fields say, and then better."""

import io

import pytest
import torch
from rich.console import Console

from policy import artefact, checkpoint
from policy.checkpoint import CheckpointError
from policy.growth import grow
from policy.network import Actor, Critic
from policy.network_config import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.train import TrainConfig, train
from robot.observation import ObservationContract
from tests.policy.toy import ToyEnv

HAD = ("goal_rel_matrix", "object_pos")
HAS = ("object_pos", "gravity", "goal_rel_matrix", "object_mass")
KEY = "task.policy_observation"
STEPS, WORLDS = 6, 5


def observations(names: tuple[str, ...], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    contract = ObservationContract(names)
    return contract.split(3.0 * torch.randn(STEPS * WORLDS, contract.size, generator=generator) + 1.0)


def vector(names: tuple[str, ...], fields: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([fields[name].flatten(1) for name in names], dim=1).unflatten(0, (STEPS, WORLDS))


def network(kind: str, names: tuple[str, ...], seed: int, embedding: int = 0) -> Actor | Critic:
    sizes, settings = ObservationContract(names).sizes, NetworkConfig(hidden=16, lstm=8, embedding=embedding)
    generator = torch.Generator().manual_seed(seed)
    return Actor(sizes, 20, 11, settings, generator) if kind == "actor" else Critic(sizes, settings, generator)


@pytest.mark.parametrize("kind", ["actor", "critic"])
def test_new_fields_say_nothing_at_first_and_teach_at_once(kind):
    old, new = network(kind, HAD, seed=0), network(kind, HAS, seed=1)
    fields = observations((*HAD, "gravity", "object_mass"), seed=2)
    seen, more = vector(HAD, fields), vector(HAS, fields)
    old.trunk.normalizer.update(seen)
    new.load_state_dict(grow(old.state_dict(), HAD, HAS, KEY))
    starts = torch.zeros(STEPS, WORLDS, dtype=torch.bool)
    starts[2, 1] = True
    state = old.initial_state(WORLDS)
    torch.testing.assert_close(new.sequence(more, state, starts), old.sequence(seen, state, starts))
    # the statistics of what is new begin with the first that is seen of it; those of the rest go on
    old.trunk.normalizer.update(0.5 * seen)
    new.trunk.normalizer.update(0.5 * more)
    contract = ObservationContract(HAS)
    for name, mean in contract.split(new.trunk.normalizer.mean.unsqueeze(0)).items():
        expected = fields[name].double().mean(dim=0) * (0.75 if name in HAD else 0.5)
        torch.testing.assert_close(mean.squeeze(0), expected)
    new.sequence(more, state, starts).square().sum().backward()
    gradient = new.trunk.embed.weight.grad
    assert gradient is not None
    assert all(part.abs().sum() > 0.0 for part in contract.split(gradient).values())


@pytest.mark.parametrize("count_of_each", [True, False], ids=["counts", "one count, as older files have it"])
def test_what_never_changed_says_nothing_when_it_does(count_of_each):
    old, new = network("actor", HAS, seed=0), network("actor", HAS, seed=1)
    fields = observations(HAS, seed=2)
    still = fields | {"gravity": torch.tensor([0.1, -9.81, 1e3]).expand(STEPS * WORLDS, 3)}
    for part in (still, still):  # in parts, whose means are rounded
        old.trunk.normalizer.update(vector(HAS, part))
    weights = old.state_dict()
    if not count_of_each:
        weights["trunk.normalizer.count"] = weights["trunk.normalizer.count"][0]
    new.load_state_dict(grow(weights, HAS, HAS, KEY))
    starts, state = torch.zeros(STEPS, WORLDS, dtype=torch.bool), old.initial_state(WORLDS)
    same = old.sequence(vector(HAS, still), state, starts)
    torch.testing.assert_close(new.sequence(vector(HAS, fields), state, starts), same)
    new.trunk.normalizer.update(vector(HAS, fields))
    seen = ObservationContract(HAS).split(new.trunk.normalizer.mean.unsqueeze(0))
    torch.testing.assert_close(seen["gravity"].squeeze(0), fields["gravity"].double().mean(dim=0))


def test_the_same_fields_keep_all_weights_and_fewer_are_refused():
    trained = network("actor", HAD, seed=0)
    trained.trunk.normalizer.update(vector(HAD, observations(HAD, seed=1)))
    weights = trained.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in grow(weights, HAD, HAD, KEY).items())
    with pytest.raises(
        CheckpointError,
        match=r"reads gravity, object_mass, which task\.policy_observation of this run lacks: goal_rel_matrix",
    ):
        grow(network("actor", HAS, seed=0).state_dict(), HAS, HAD, KEY)


def test_a_network_that_embeds_fields_goes_on_with_the_same_ones_only():
    weights = network("actor", HAD, seed=0, embedding=8).state_dict()
    assert set(grow(weights, HAD, HAD, KEY)) == set(weights)
    with pytest.raises(CheckpointError, match="embedding"):
        grow(weights, HAD, HAS, KEY)


class SeeingEnv(ToyEnv):
    """Its policy sees what only its critic has seen so far, and its critic one thing more."""

    policy_contract = ToyEnv.critic_contract
    critic_contract = ObservationContract((*ToyEnv.critic_contract.names, "object_angvel"))

    def _observe(self):
        seen = super()._observe()
        nothing = torch.zeros(self.num_envs, 3)
        return type(seen)(seen.critic, torch.cat((seen.critic, nothing), dim=1))


CONFIG = TrainConfig(
    num_envs=16,
    horizon=10,
    steps=3 * 160,
    network=NetworkConfig(hidden=16, lstm=8),
    ppo=PPOConfig(chunk=5, epochs=2, minibatches=2, critic_warmup=1),
)


@pytest.mark.parametrize("by", ["run", "policy"])
def test_a_run_begins_with_one_that_saw_less(tmp_path, by):
    quiet = Console(file=io.StringIO())
    first = train(CONFIG, ToyEnv(16), tmp_path / "first", console=quiet)
    begin = tmp_path / "first"
    if by == "policy":
        begin = tmp_path / "policy"
        artefact.save(begin, first.actor, ToyEnv.policy_contract, ToyEnv.action_contract, CONFIG.network, {})
    train(CONFIG, SeeingEnv(16), tmp_path / "more", console=quiet, init=begin)
    learnt = checkpoint.load(checkpoint.find(tmp_path / "more" / "checkpoints")[-1])
    counts = learnt["actor"]["trunk.normalizer.count"].tolist()
    assert counts == [2 * CONFIG.steps] * 3 + [CONFIG.steps] * 3
    assert learnt["actor"]["trunk.embed.weight"][:, 3:].abs().sum() > 0.0
    with pytest.raises(CheckpointError, match=r"reads object_linvel, which task\.policy_observation of this run lacks"):
        train(CONFIG, ToyEnv(16), tmp_path / "less", console=quiet, init=tmp_path / "more")
    assert not (tmp_path / "less").exists()
