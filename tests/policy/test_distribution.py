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
