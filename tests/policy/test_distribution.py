"""The distribution of actions against torch.distributions and observed frequencies."""

import torch
from scipy import stats
from torch.distributions import Categorical, kl_divergence

from policy.distribution import MultiCategorical

LOGITS = 2.0 * torch.randn(6, 11, 20, generator=torch.Generator().manual_seed(0))
OTHER = torch.randn(6, 11, 20, generator=torch.Generator().manual_seed(1))


def reference(logits: torch.Tensor) -> Categorical:
    return Categorical(logits=logits.transpose(-1, -2))


def test_agrees_with_torch_distributions():
    ours, truth = MultiCategorical(LOGITS), reference(LOGITS)
    bins = truth.sample()
    torch.testing.assert_close(ours.log_prob(bins), truth.log_prob(bins).sum(dim=-1))
    torch.testing.assert_close(ours.entropy(), truth.entropy().sum(dim=-1))
    torch.testing.assert_close(
        ours.kl(MultiCategorical(OTHER)), kl_divergence(truth, reference(OTHER)).sum(dim=-1), rtol=1e-4, atol=1e-5
    )
    assert torch.equal(ours.mode(), truth.probs.argmax(dim=-1))


def test_samples_have_the_right_frequencies():
    logits = LOGITS[:1, :, :2].expand(20_000, 11, 2)
    bins = MultiCategorical(logits).sample(torch.Generator().manual_seed(3))
    assert bins.shape == (20_000, 2)
    for actuator in range(2):
        counts = torch.bincount(bins[:, actuator], minlength=11).numpy()
        expected = LOGITS[0, :, actuator].softmax(dim=0).double()
        assert stats.chisquare(counts, (expected / expected.sum() * 20_000).numpy()).pvalue > 1e-4


def test_a_bin_without_probability_is_never_drawn():
    logits = torch.zeros(5_000, 4, 3)
    logits[:, (0, 3)] = -float("inf")
    bins = MultiCategorical(logits).sample(torch.Generator().manual_seed(0))
    assert set(bins.unique().tolist()) == {1, 2}


def test_equal_generators_draw_equal_actions():
    first, second = (MultiCategorical(LOGITS).sample(torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
