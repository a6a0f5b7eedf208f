"""The registered id, and other libraries that train on it: the examples of ``docs/gymnasium.md``, run as they stand."""

import logging
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence
from hydra import compose, initialize_config_dir
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env

from inhand.config import load
from inhand.gymnasium import ID, make, make_vec
from inhand.training import TrainJob

DOCUMENT = Path(__file__).parents[2] / "docs" / "gymnasium.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_example(word: str) -> dict[str, Any]:
    (code,) = (example for example in EXAMPLES if word in example)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


def test_the_first_example_makes_what_it_says():
    names = run_example("registers the id")
    assert names["env"].unwrapped.batch.num_envs == 1 and names["envs"].num_envs == 64


def test_stable_baselines3_trains_on_it():
    model = run_example("stable_baselines3")["model"]
    fresh = PPO("MultiInputPolicy", model.env, n_steps=32, batch_size=32, seed=0).policy.state_dict()
    learnt = model.policy.state_dict()
    assert model.num_timesteps == 256 and all(torch.isfinite(value).all() for value in learnt.values())
    assert not all(torch.equal(learnt[name], value) for name, value in fresh.items())


def test_skrl_trains_on_a_batch_and_its_value_network_sees_what_our_critic_sees():
    names = run_example("skrl")
    logging.getLogger("skrl").handlers.clear()  # it reports once more at exit, when pytest has closed the stream
    env, agent = names["env"], names["agent"]
    assert agent.value.net[0].in_features == env.unwrapped.critic_contract.size
    values = torch.sort(env.state()).values  # skrl puts the fields in an order of its own
    torch.testing.assert_close(values, torch.sort(env.unwrapped.worlds.critic()).values)
    assert agent.optimizer.state  # Adam's moments are there from its first step on
    assert all(torch.isfinite(value).all() for value in agent.policy.parameters())


def test_stable_baselines3_finds_nothing_wrong(recwarn):
    check_env(make("dactyl"))
    check_env(make(bins=11))
    # it would rather have the fingertips as a plain vector, and makes one of them itself
    assert [str(each.message) for each in recwarn if "unconventional shape" not in str(each.message)] == []


@pytest.mark.parametrize("name", ["none", "dactyl", "adr"])
def test_presets_are_those_of_the_command_line(name):
    assert make(name).batch.randomization == load("train", TrainJob, [f"randomization={name}"]).randomization


def test_a_program_that_runs_under_hydra_gets_them_too(tmp_path):
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        make("dactyl")
        assert compose(overrides=["+own=1"]).own == 1


def test_a_preset_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown randomization 'dactil'; did you mean 'dactyl'"):
        gymnasium.make(ID, randomization="dactil")


def test_another_plant_turns_the_same_block():
    envs = make_vec(2, plant="gymnasium_robotics")
    assert envs.reset(seed=0)[0] in envs.observation_space
    assert envs.step(envs.action_space.sample())[0] in envs.observation_space


def test_the_id_survives_as_text_and_its_worlds_run_in_processes_too():
    made = gymnasium.make(ID, randomization="dactyl", bins=11).spec
    assert made is not None
    spec = EnvSpec.from_json(made.to_json())
    envs = gymnasium.make_vec(spec, num_envs=2, vectorization_mode="async")
    observation, _ = envs.reset(seed=4)
    alone, _ = gymnasium.make(spec).reset(seed=5)
    assert data_equivalence({name: value[1] for name, value in observation.items()}, alone, exact=True)
    assert envs.step(np.full((2, 20), 5))[0] in envs.observation_space
    envs.close()


def test_batches_of_a_spec_are_made_alike():
    envs = gymnasium.make_vec(ID, num_envs=3, randomization="dactyl")
    assert envs.spec is not None
    again = gymnasium.make_vec(envs.spec)
    assert again.num_envs == 3
    assert data_equivalence(envs.reset(seed=1), again.reset(seed=1), exact=True)
    assert data_equivalence(make_vec(3, "dactyl").reset(seed=1), again.reset(seed=1), exact=True)
