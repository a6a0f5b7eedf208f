"""ADR against its rules taken one by one in decimals, SciPy's distributions, and a policy of known skill."""

import copy
import json
import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from randomization.adr import ADR, NO_BOUNDARY, ADRConfig

NAMES = ("mass", "friction", "backlash")
WIDE = {"mass": (-2.0, 1.0), "friction": (-0.5, 3.0), "backlash": (0.0, 1.5)}


def make(n: int = 4, names=NAMES, one_sided=(False, False, True), seed: int = 0, **values) -> ADR:
    return ADR(ADRConfig(**values), names, n, torch.Generator().manual_seed(seed), one_sided)


@pytest.fixture
def wide(tmp_path) -> str:
    (tmp_path / "wide.json").write_text(json.dumps(WIDE))
    return str(tmp_path / "wide.json")


def test_everything_starts_at_the_calibrated_values():
    adr = make(n=100)
    adr.draw(torch.arange(100))
    assert adr.ranges() == dict.fromkeys(NAMES, (0.0, 0.0))
    assert (adr.parameters == 0.0).all()


def test_half_of_the_worlds_try_a_boundary_and_each_boundary_gets_its_share(wide):
    n = 30_000
    adr = make(n, ranges=wide)
    adr.draw(torch.arange(n))
    tried = adr.boundary[adr.boundary != NO_BOUNDARY]
    assert stats.binomtest(len(tried), n, 0.5).pvalue > 0.001
    counts = torch.bincount(tried, minlength=6).numpy()
    # the parameter is uniform, its side even, and the lower end of the one-sided one does not exist
    expected = np.array([1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 3])
    assert counts[2] == 0
    assert stats.chisquare(np.delete(counts, 2), expected * len(tried)).pvalue > 0.001


def test_a_boundary_world_has_its_boundary_and_all_else_is_uniform(wide):
    n = 30_000
    adr = make(n, ranges=wide)
    adr.draw(torch.arange(n))
    for parameter, (low, high) in enumerate(WIDE.values()):
        drawn = adr.parameters[:, parameter]
        at_low, at_high = adr.boundary == parameter, adr.boundary == parameter + 3
        assert (drawn[at_low] == low).all() and (drawn[at_high] == high).all()
        free = drawn[~(at_low | at_high)].numpy()
        assert stats.kstest(free, stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_only_the_worlds_that_are_named_draw_anew(wide):
    adr = make(6, ranges=wide)
    adr.draw(torch.arange(6))
    before = adr.parameters.clone()
    adr.draw(torch.tensor([4, 1]))
    assert ((adr.parameters != before).any(dim=1) == torch.tensor([False, True, False, False, True, False])).all()


class Scalar:
    """R19's Algorithm 1, an episode at a time, in decimals; boundaries as ``ADR`` counts them."""

    def __init__(self, config: ADRConfig, boundaries: int) -> None:
        self.config = config
        self.queues: list[list[int]] = [[] for _ in range(boundaries)]
        self.reach = [Decimal(0)] * boundaries

    def finish(self, boundary: int, successes: int) -> None:
        queue = self.queues[boundary]
        queue.append(successes)
        if len(queue) >= self.config.queue:
            mean = sum(queue) / len(queue)
            queue.clear()
            step = Decimal(str(self.config.step))
            if mean >= self.config.widen_at:
                self.reach[boundary] = min(self.reach[boundary] + step, Decimal(str(self.config.limit)))
            elif mean <= self.config.narrow_at:
                self.reach[boundary] = max(self.reach[boundary] - step, Decimal(0))


EPISODES = st.lists(st.tuples(st.integers(-1, 4), st.sampled_from((0, 10, 20, 30))), min_size=1, max_size=25)


@settings(max_examples=300)
@given(st.lists(EPISODES, max_size=8), st.integers(1, 5), st.sampled_from((0.05, 0.12)))
def test_boundaries_move_as_if_episodes_ended_one_by_one(steps, queue, limit):
    config = ADRConfig(step=0.02, queue=queue, limit=limit)
    adr = ADR(config, ("a", "b", "c"), 25, torch.Generator())
    naive = Scalar(config, 6)
    for episodes in steps:
        # worlds in any order; as boundary worlds only the first episode after a draw counts
        ids = torch.randperm(25, generator=torch.Generator().manual_seed(len(episodes)))[: len(episodes)]
        adr.boundary[ids] = torch.tensor([boundary for boundary, _ in episodes])
        for _ in range(2):
            adr.finish(ids, torch.tensor([successes for _, successes in episodes]))
        for boundary, successes in episodes:
            if boundary != NO_BOUNDARY:
                naive.finish(boundary, successes)
        assert adr.reach.tolist() == [float(reach) for reach in naive.reach]
        assert adr.count.tolist() == [len(queue) for queue in naive.queues]
        assert adr.total.tolist() == [sum(queue) for queue in naive.queues]


def test_thresholds_are_part_of_the_moves():
    adr = make(names=("a",), one_sided=None, queue=2, step=0.5)

    def evaluate(*successes: int) -> tuple[float, float]:
        for count in successes:
            adr.boundary[0] = 0
            adr.finish(torch.tensor([0]), torch.tensor([count]))
        return adr.ranges()["a"]

    assert evaluate(19) == evaluate(20) == (0.0, 0.0)  # mean 19.5: between the thresholds
    assert evaluate(15, 25) == (-0.5, 0.0)
    assert evaluate(11, 10) == (-0.5, 0.0)
    assert evaluate(20, 0) == (0.0, 0.0)
    assert evaluate(0, 0) == (0.0, 0.0)
    assert str(evaluate(0, 0)[0]) == "0.0"
    assert evaluate(*[50] * 40) == (-4.0, 0.0)


def test_an_episode_that_was_not_finished_does_not_count():
    adr = make(n=50, boundary_probability=1.0, queue=1)
    adr.draw(torch.arange(50))
    adr.draw(torch.arange(50))
    adr.finish(torch.arange(25), torch.full((25,), 15))
    assert adr.count.sum() == 0 and (adr.boundary[:25] == NO_BOUNDARY).all() and (adr.boundary[25:] >= 0).all()


def test_entropy_is_the_mean_logarithm_of_the_widths(wide):
    assert make(ranges=wide).entropy() == pytest.approx(math.log(3.0 * 3.5 * 1.5) / 3)
    assert make().entropy() == pytest.approx(math.log(0.02))
    assert make(ranges=wide).metrics() == pytest.approx(
        {
            "adr/entropy": math.log(3.0 * 3.5 * 1.5) / 3,
            "adr/mass/low": -2.0,
            "adr/mass/high": 1.0,
            "adr/friction/low": -0.5,
            "adr/friction/high": 3.0,
            "adr/backlash/low": 0.0,
            "adr/backlash/high": 1.5,
        }
    )


def test_frozen_ranges_are_drawn_from_and_do_not_move(wide):
    adr = make(100, ranges=wide, frozen=True, queue=1)
    for _ in range(5):
        adr.draw(torch.arange(100))
        assert (adr.boundary == NO_BOUNDARY).all() and adr.parameters.std() > 0.1
        adr.finish(torch.arange(100), torch.full((100,), 50))
    assert adr.ranges() == WIDE


def live(adr: ADR, episodes: int, seed: int = 0) -> ADR:
    """Episodes of a policy that reaches 30 goals as calibrated, and 15 fewer for each unit of |λ| of any parameter."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.arange(len(adr.parameters))
    for _ in range(episodes):
        adr.draw(ids)
        mean = (30.0 - 15.0 * adr.parameters.abs().sum(dim=1)).clamp(min=0.0)
        some = torch.rand(len(ids), generator=generator) < 0.7
        adr.finish(ids[some], torch.poisson(mean, generator=generator).long()[some])
    return adr


def test_ranges_grow_until_the_policy_no_longer_copes():
    adr = live(make(4096, names=("only",), one_sided=None), 200)
    # 30 − 15 |λ| = 20 at 2/3; a queue's mean deviates by 0.3, and a step out by luck is not taken back
    assert adr.ranges()["only"] == pytest.approx((-2 / 3, 2 / 3), abs=0.1)
    assert adr.metrics()["adr/only/high"] == adr.high.item()


def test_ranges_that_are_too_wide_shrink_until_the_policy_copes(tmp_path):
    (tmp_path / "wide.json").write_text('{"only": [-3, 3.0]}')
    adr = make(4096, names=("only",), one_sided=None, ranges=str(tmp_path / "wide.json"))
    # 30 − 15 |λ| = 10 at 4/3
    assert live(adr, 400).ranges()["only"] == pytest.approx((-4 / 3, 4 / 3), abs=0.1)


def test_parameters_share_what_the_policy_can_bear():
    adr = live(make(512, queue=40), 300)
    low, high = adr.low, adr.high
    assert low[2] == 0.0 and (high > 0.2).all() and (low[:2] < -0.2).all()
    # the mean at an end, the other parameters being uniform, lies between the thresholds or just past one
    cost = (low**2 + high**2) / (2 * (high - low))
    for parameter in range(3):
        others = cost.sum() - cost[parameter]
        assert 9.0 < 30.0 - 15.0 * (high[parameter] + others) < 21.0


def test_a_restored_state_goes_on_to_the_bit():
    adr = live(make(64, queue=7), 40)
    state = copy.deepcopy(adr.state_dict())
    generator = adr.generator.get_state()
    other = make(64, queue=7, seed=99)
    other.load_state_dict(state)
    other.generator.set_state(generator)
    first, second = live(adr, 40, seed=1).state_dict(), live(other, 40, seed=1).state_dict()
    assert first.pop("names") == second.pop("names") == list(adr.names)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(state["reach"], first["reach"])  # the state was a copy


def test_saved_ranges_are_a_place_to_start_from(tmp_path):
    adr = live(make(256, queue=20), 100)
    adr.save(tmp_path / "adr.json")
    assert [path.name for path in tmp_path.iterdir()] == ["adr.json"]
    assert make(ranges=str(tmp_path / "adr.json")).ranges() == adr.ranges()
    assert json.loads((tmp_path / "adr.json").read_text())["mass"] == list(adr.ranges()["mass"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"mass": [0, 1]}', r"missing \['backlash', 'friction'\], unknown none"),
        (json.dumps(WIDE | {"colour": [0, 1]}), r"missing none, unknown \['colour'\]"),
        (json.dumps(WIDE | {"mass": [0.5, 1]}), "mass .* must contain 0"),
        (json.dumps(WIDE | {"mass": [-1, 4.5]}), r"mass .* lie in \[-4\.0, 4\.0\]"),
        (json.dumps(WIDE | {"backlash": [-1, 1]}), r"backlash .* lie in \[0\.0, 4\.0\]"),
        (json.dumps(WIDE | {"mass": 1.0}), "cannot be read"),
        ("not JSON", "cannot be read"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(tmp_path, text, word):
    (tmp_path / "ranges.json").write_text(text)
    with pytest.raises(ValueError, match=word):
        make(ranges=str(tmp_path / "ranges.json"))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"boundary_probability": 1.5}, r"boundary_probability is 1\.5; allowed: 0 to 1"),
        ({"boundary_probability": math.nan}, "boundary_probability"),
        ({"step": 0.0}, "step is 0.0"),
        ({"step": 5.0}, r"step is 5\.0; allowed: above 0, at most 4"),
        ({"limit": math.inf}, "limit is inf"),
        ({"narrow_at": 20.0}, r"narrow_at is 20\.0; allowed: below 20"),
        ({"queue": 0}, "queue is 0"),
        ({"ranges": "missing.json"}, r"cannot be read from missing\.json"),
        ({"names": ()}, "names of their own"),
        ({"names": ("a", "a")}, "names of their own"),
        ({"names": ("a", "b")}, "3 entries for 2"),
    ],
)
def test_bad_settings_are_refused(values, word):
    with pytest.raises(ValueError, match=word):
        make(**values)


def test_a_state_of_other_parameters_is_refused():
    generator = torch.Generator().manual_seed(0)
    one, other = (ADR(ADRConfig(), names, 4, generator) for names in (["a", "b"], ["a", "c"]))
    with pytest.raises(ValueError, match="'b'"):
        other.load_state_dict(one.state_dict())


def test_calibrated_worlds_try_nothing():
    adr = make(64)
    adr.open(1.0)
    adr.draw(torch.arange(64))
    adr.calibrate(torch.arange(0, 64, 2))
    assert (adr.parameters[::2] == 0).all() and (adr.boundary[::2] == -1).all()
    assert (adr.parameters[1::2] != 0).any(dim=1).all()
