"""The distributions of actions against torch.distributions and observed frequencies."""

import pytest
import torch
from scipy import stats
from torch.distributions import Categorical, Normal, kl_divergence

from policy.distribution import Gaussian, MultiCategorical

LOGITS = 2.0 * torch.randn(6, 11, 20, generator=torch.Generator().manual_seed(0))
OTHER = torch.randn(6, 11, 20, generator=torch.Generator().manual_seed(1))


def categorical(logits: torch.Tensor) -> tuple[MultiCategorical, Categorical]:
    return MultiCategorical.from_output(logits), Categorical(logits=logits.transpose(-1, -2))


def gaussian(output: torch.Tensor) -> tuple[Gaussian, Normal]:
    ours = Gaussian.from_output(output, min_sigma=0.2)
    return ours, Normal(output[..., 0, :].tanh(), 0.2 + output[..., 1, :].exp().log1p())


@pytest.mark.parametrize(("make", "rows"), [(categorical, 11), (gaussian, 2)])
def test_agrees_with_torch_distributions(make, rows):
    (ours, truth), (other, other_truth) = make(LOGITS[:, :rows]), make(OTHER[:, :rows])
    action = truth.sample()
    torch.testing.assert_close(ours.log_prob(action), truth.log_prob(action).sum(dim=-1))
    torch.testing.assert_close(ours.entropy(), truth.entropy().sum(dim=-1))
    torch.testing.assert_close(ours.kl(other), kl_divergence(truth, other_truth).sum(dim=-1), rtol=1e-4, atol=1e-5)
    assert torch.equal(ours.kl(ours), torch.zeros(6))
    torch.testing.assert_close(ours.mode(), truth.mode)


@pytest.mark.parametrize(("make", "rows"), [(categorical, 11), (gaussian, 2)])
def test_its_parameters_make_the_same_distribution_again(make, rows):
    ours, truth = make(LOGITS[:, :rows])
    again, action = type(ours)(ours.parameters), truth.sample()
    assert torch.equal(again.log_prob(action), ours.log_prob(action))
    assert torch.equal(again.mode(), ours.mode())


@pytest.mark.parametrize(("make", "rows"), [(categorical, 11), (gaussian, 2)])
def test_outputs_in_bfloat16_are_widened_first(make, rows):
    narrow = LOGITS[:, :rows].bfloat16()
    assert torch.equal(make(narrow)[0].parameters, make(narrow.float())[0].parameters)


def test_samples_have_the_right_frequencies():
    logits = LOGITS[:1, :, :2].expand(20_000, 11, 2)
    bins = MultiCategorical.from_output(logits).sample(torch.Generator().manual_seed(3))
    assert bins.shape == (20_000, 2)
    for actuator in range(2):
        counts = torch.bincount(bins[:, actuator], minlength=11).numpy()
        expected = LOGITS[0, :, actuator].softmax(dim=0).double()
        assert stats.chisquare(counts, (expected / expected.sum() * 20_000).numpy()).pvalue > 1e-4


def test_samples_are_normally_distributed():
    ours, truth = gaussian(LOGITS[:1, :2, :3].expand(20_000, 2, 3))
    samples = ours.sample(torch.Generator().manual_seed(3))
    assert samples.shape == (20_000, 3)
    for actuator in range(3):
        mean, sigma = truth.loc[0, actuator].item(), truth.scale[0, actuator].item()
        assert stats.kstest(samples[:, actuator].numpy(), "norm", (mean, sigma)).pvalue > 1e-4
    assert not torch.allclose(samples[:, 0], samples[:, 1], atol=0.1)


def test_the_quantile_of_bins_is_where_their_cumulative_probability_reaches_it():
    ours, truth = categorical(LOGITS)
    uniform = torch.rand(6, 20, generator=torch.Generator().manual_seed(2))
    bins = ours.quantile(uniform)
    reached = truth.probs.double().cumsum(dim=-1)
    up_to = reached.gather(-1, bins.unsqueeze(-1)).squeeze(-1)
    below = torch.cat((torch.zeros(6, 20, 1), reached), dim=-1).gather(-1, bins.unsqueeze(-1)).squeeze(-1)
    assert (below - 1e-6 < uniform).all() and (uniform < up_to + 1e-6).all()


def test_the_quantile_of_a_gaussian_is_its_inverse_cumulative_distribution():
    ours, truth = gaussian(LOGITS[:, :2])
    uniform = torch.rand(6, 20, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(ours.quantile(uniform), truth.icdf(uniform), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_a_share_that_is_rounded_to_the_edge_still_gives_a_possible_action(edge):
    logits = torch.zeros(1, 4, 3)
    logits[:, (0, 3)] = -float("inf")
    assert MultiCategorical.from_output(logits).quantile(torch.full((1, 3), edge)).tolist() == [[1 + int(edge)] * 3]
    assert gaussian(LOGITS[:, :2])[0].quantile(torch.full((6, 20), edge)).isfinite().all()


def test_means_and_sigmas_keep_their_bounds():
    extreme = torch.tensor([[-1e4], [1e4]]).expand(2, 5).clone()
    ours = Gaussian.from_output(torch.stack((extreme, extreme.flip(0))), min_sigma=0.3)
    assert ours.mean.tolist() == [[-1.0] * 5, [1.0] * 5]
    assert ours.sigma[1].tolist() == pytest.approx([0.3] * 5)
    assert all(value.isfinite().all() for value in (ours.entropy(), ours.log_prob(torch.zeros(2, 5))))


def test_a_bin_without_probability_is_never_drawn():
    logits = torch.zeros(5_000, 4, 3)
    logits[:, (0, 3)] = -float("inf")
    bins = MultiCategorical.from_output(logits).sample(torch.Generator().manual_seed(0))
    assert set(bins.unique().tolist()) == {1, 2}


@pytest.mark.parametrize(("make", "rows"), [(categorical, 11), (gaussian, 2)])
def test_equal_generators_draw_equal_actions(make, rows):
    first, second = (make(LOGITS[:, :rows])[0].sample(torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


def two_hot(unit: float, bins: int) -> list[float]:
    """The shares of the two bins between which a unit action lies, the nearer the more."""
    places = [-1.0 + 2.0 * i / (bins - 1) for i in range(bins)]
    unit = min(max(unit, -1.0), 1.0)
    return [max(0.0, 1.0 - abs(unit - place) * (bins - 1) / 2.0) for place in places]


@pytest.mark.parametrize("bins", [2, 11])
def test_cross_entropy_of_bins_is_that_of_the_two_around_the_action(bins):
    logits = LOGITS[:, :bins, :4]
    ours = MultiCategorical.from_output(logits)
    unit = 1.4 * (2.0 * torch.rand(6, 4, generator=torch.Generator().manual_seed(4)) - 1.0)
    unit[0] = torch.tensor([-1.0, 1.0, 0.0, 1.5])  # on bins, and beyond the last
    result = ours.cross_entropy(unit)
    for row in range(6):
        logs = logits[row].log_softmax(dim=0).double()
        shares = [two_hot(each, bins) for each in unit[row].tolist()]
        expected = -sum(shares[a][b] * float(logs[b, a]) for a in range(4) for b in range(bins))
        assert result[row].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unit", [-1.0, -0.93, 0.0, 0.27, 1.0])
def test_the_least_cross_entropy_is_at_a_distribution_whose_mean_is_the_action(unit):
    logits = torch.zeros(1, 11, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    loss = torch.tensor(torch.inf)
    for _ in range(300):
        optimizer.zero_grad()
        loss = MultiCategorical.from_output(logits).cross_entropy(torch.full((1, 1), unit)).sum()
        loss.backward()
        optimizer.step()
    mean = (logits.detach().softmax(dim=1)[0, :, 0] * torch.linspace(-1.0, 1.0, 11)).sum().item()
    assert mean == pytest.approx(unit, abs=0.01)
    # Gibbs: no distribution has less than the entropy of the shares
    shares = torch.tensor(two_hot(unit, 11))
    least = -torch.special.xlogy(shares, shares).sum().item()
    assert least - 1e-5 <= loss.item() <= least + 0.01


def test_cross_entropy_of_a_gaussian_is_the_density_of_the_action():
    ours, truth = gaussian(LOGITS[:, :2])
    unit = 2.0 * torch.rand(6, 20, generator=torch.Generator().manual_seed(5)) - 1.0
    torch.testing.assert_close(ours.cross_entropy(unit), -truth.log_prob(unit).sum(dim=-1))
    assert torch.equal(ours.cross_entropy(unit), -ours.log_prob(unit))
