"""A preset is checked: faithful terms pass, inert and false ones are found."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from randomization.adr import ADRConfig
from randomization.config import RandomizationConfig
from randomization.distribution import parse
from randomization.terms import PhysicsTerm, SensorTerm
from sim import term_check
from sim.task import TaskConfig
from sim.term_check import EntryReport, check


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(term_check, "WORLDS", 16)


def reports(config: RandomizationConfig) -> dict[str, EntryReport]:
    return {each.entry.name: each for each in check(config, TaskConfig(), worlds=1000, seed=0, threads=1)}


def test_what_moves_is_told_from_what_is_only_seen_and_from_what_is_inert(small):
    found = reports(
        RandomizationConfig(
            physics={
                "gravity": PhysicsTerm(["opt.gravity"], "normal(0, 0.4)", apply="add"),
                # springs that are not there have no length
                "spring_length": PhysicsTerm(["tendon_lengthspring"], "uniform(0.5, 1)", of="robot", apply="add"),
                # nothing times any factor is nothing
                "factor": PhysicsTerm(["actuator_delay"], "uniform(0.01, 0.02)", of="robot"),
                "bounded": PhysicsTerm(["geom_solimp"], "uniform(0.9, 1.2)", columns=[1], most=0.99),
                "learnt": PhysicsTerm(["body_mass", "body_inertia"], "adr_spread(1)"),
            },
            sensors={"turn": SensorTerm("noise", ["object_quat"], "normal(0, 0.1)", every="step")},
        )
    )
    assert found["physics.gravity"].moved > 1e-5 and not found["physics.gravity"].inert
    assert found["physics.spring_length"].inert
    assert found["physics.factor"].inert and not found["physics.factor"].draws
    assert not found["physics.bounded"].inert
    assert found["sensors.turn"].moved == 0.0 and found["sensors.turn"].seen > 0.01
    assert found["physics.learnt"].moved > 1e-5 and found["physics.learnt"].distance is None
    assert all(each.faithful for each in found.values())


def test_false_draws_are_found():
    values = torch.from_numpy(np.random.default_rng(0).normal(0, 0.4, 10_000))
    entry = next(iter(RandomizationConfig(force=None, physics={"g": PhysicsTerm(["x"], "normal(0, 0.4)")}).entries()))
    true = term_check._report(entry, values, 1.0, 1.0)
    false = term_check._report(replace(entry, distribution=parse("normal(0, 0.45)")), values, 1.0, 1.0)
    assert true.faithful and not false.faithful


def test_frozen_ranges_of_adr_do_not_matter(small):
    config = RandomizationConfig(
        sensors={"noise": SensorTerm("noise", ["object_pos"], "adr_jitter(0.005)")}, adr=ADRConfig(frozen=True)
    )
    assert reports(config)["sensors.noise"].seen > 0.0
