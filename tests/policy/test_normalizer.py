"""The normalizer against numpy over all data at once."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy.normalizer import Normalizer


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6), offset=st.sampled_from([0.0, 3.0, -1e3]))
def test_statistics_equal_those_of_all_data_at_once(sizes, offset):
    rng = np.random.default_rng(sum(sizes))
    batches = [rng.normal(offset, [0.01, 1.0, 50.0], size=(size, 3)) for size in sizes]
    normalizer = Normalizer(3)
    for batch in batches:
        normalizer.update(torch.from_numpy(batch))
    everything = np.concatenate(batches)
    np.testing.assert_allclose(normalizer.mean.numpy(), everything.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(normalizer.var.numpy(), everything.var(axis=0), rtol=1e-7, atol=1e-12)
    assert normalizer.count.tolist() == [len(everything)] * 3


def test_output_is_standard_and_clipped():
    data = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.02, 7.0]) + 1.0
    normalizer = Normalizer(2)
    normalizer.update(data.view(100, 100, 2))
    output = normalizer(data)
    assert output.mean(dim=0).abs().max() < 1e-3
    assert (output.std(dim=0) - 1.0).abs().max() < 1e-3
    torch.testing.assert_close(normalizer(torch.full((1, 2), 1e6)), torch.full((1, 2), 5.0))
    torch.testing.assert_close(normalizer.inverse(output), data)


def test_running_does_not_change_it():
    normalizer = Normalizer(2)
    before = {name: value.clone() for name, value in normalizer.state_dict().items()}
    torch.testing.assert_close(normalizer(torch.tensor([[0.5, -2.0]])), torch.tensor([[0.5, -2.0]]))
    assert all(torch.equal(value, before[name]) for name, value in normalizer.state_dict().items())


def test_a_constant_quantity_stays_finite():
    normalizer = Normalizer(1)
    normalizer.update(torch.full((10, 1), 3.0))
    assert normalizer(torch.tensor([[3.0]])).item() == 0.0
    assert normalizer(torch.tensor([[4.0]])).item() == 5.0
