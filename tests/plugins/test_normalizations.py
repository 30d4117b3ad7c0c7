"""Feature and weight normalisations against float64 references."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sngan_cli.contracts import Normalization
from sngan_plugins.normalizations.batch import Batch
from sngan_plugins.normalizations.instance import Instance
from sngan_plugins.normalizations.layer import Layer
from sngan_plugins.normalizations.none import NoNormalization
from sngan_plugins.normalizations.spectral import Spectral
from sngan_plugins.normalizations.weight import Weight

OVER = [(Batch(), (0, 2, 3)), (Layer(), (1, 2, 3)), (Instance(), (2, 3))]
"""Feature normalisations, and the dimensions of (N, C, H, W) that mean and variance are taken over."""


def pictures() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(4, 3, 5, 5, dtype=torch.float64) * 3 + 2


def standardised(h: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (h - h.mean(dims, keepdim=True)) / (h.var(dims, keepdim=True, unbiased=False) + 1e-5).sqrt()


def features(norm: Normalization, classes: int | None) -> nn.Module:
    module = norm.features(3, classes)
    assert module is not None
    return module.double()


@pytest.mark.parametrize(("norm", "dims"), OVER)
def test_starts_as_plain_standardisation(norm: Normalization, dims: tuple[int, ...]) -> None:
    h = pictures()
    torch.testing.assert_close(features(norm, None)(h, None), standardised(h, dims))
    torch.testing.assert_close(features(norm, 7)(h, torch.tensor([0, 6, 3, 3])), standardised(h, dims))


@pytest.mark.parametrize("images", [1, 2])
def test_a_single_value_becomes_beta_in_any_batch(images: int) -> None:
    """As where the maps of small images have one pixel, whether one image is drawn or several."""
    for norm, channels in ((Instance(), 3), (Layer(), 1)):
        module = norm.features(channels, None)
        assert module is not None
        module.load_state_dict({"statistics.bias": torch.arange(1.0, channels + 1)}, strict=False)
        found = module(torch.randn(images, channels, 1, 1), None).flatten(1)
        torch.testing.assert_close(found, torch.arange(1.0, channels + 1).expand(images, channels), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("norm", "dims"), OVER)
def test_gamma_and_beta_are_looked_up_by_class(norm: Normalization, dims: tuple[int, ...]) -> None:
    h, y = pictures(), torch.tensor([1, 0, 1, 1])
    module = features(norm, 2)
    gamma = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
    beta = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], dtype=torch.float64)
    module.load_state_dict({"affine.gamma_of.weight": gamma, "affine.beta_of.weight": beta}, strict=False)
    expected = gamma[y].view(4, 3, 1, 1) * standardised(h, dims) + beta[y].view(4, 3, 1, 1)
    torch.testing.assert_close(module(h, y), expected)


@pytest.mark.parametrize(("norm", "dims"), OVER)
def test_gamma_and_beta_of_all_images(norm: Normalization, dims: tuple[int, ...]) -> None:
    h, module = pictures(), features(norm, None)
    gamma, beta = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.1, 0.2, 0.3]).double()
    module.load_state_dict({"statistics.weight": gamma, "statistics.bias": beta}, strict=False)
    expected = gamma.view(3, 1, 1) * standardised(h, dims) + beta.view(3, 1, 1)
    torch.testing.assert_close(module(h, None), expected)


@pytest.mark.parametrize(("classes", "parameters"), [(None, 2 * 3), (7, 2 * 3 * 7)])
@pytest.mark.parametrize("norm", [norm for norm, _ in OVER])
def test_one_gamma_and_beta_a_channel_and_class(norm: Normalization, classes: int | None, parameters: int) -> None:
    assert sum(p.numel() for p in features(norm, classes).parameters()) == parameters


def test_batch_norm_draws_with_running_statistics() -> None:
    h = pictures()
    module = features(Batch(), None)
    module(h, None)
    # Running averages start at mean 0 and variance 1, and move by a tenth.
    mean = 0.1 * h.mean((0, 2, 3), keepdim=True)
    variance = 0.9 + 0.1 * h.var((0, 2, 3), keepdim=True)
    torch.testing.assert_close(module.eval()(h, None), (h - mean) / (variance + 1e-5).sqrt())


def test_no_normalization_is_the_identity() -> None:
    h, layer = pictures(), nn.Linear(3, 2)
    assert features(NoNormalization(), None)(h, None) is h
    conditional = features(NoNormalization(), 5)
    assert torch.equal(conditional(h, torch.zeros(4, dtype=torch.int64)), h)
    assert sum(p.numel() for p in conditional.parameters()) == 2 * 5 * h.shape[1]
    assert NoNormalization().constrain(layer) is layer
    assert set(layer.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("norm", [Spectral(), Weight()])
def test_weight_constraints_leave_features_to_the_architecture(norm: Normalization) -> None:
    assert norm.features(3, None) is None
    assert norm.features(3, 10) is None


@pytest.mark.parametrize(
    ("layer", "others"),
    [(nn.Conv2d(3, 5, 3), (1, 2, 3)), (nn.ConvTranspose2d(3, 5, 4), (0, 2, 3)), (nn.Linear(7, 5), (1,))],
)
def test_weight_norm_sets_the_length_of_each_output(layer: nn.Module, others: tuple[int, ...]) -> None:
    before = layer.get_parameter("weight").detach().clone()
    Weight().constrain(layer)
    torch.testing.assert_close(layer.weight, before)
    length, direction = (layer.get_parameter(f"parametrizations.weight.original{k}") for k in (0, 1))
    assert length.numel() == 5
    with torch.no_grad():
        length.fill_(2)
        direction.mul_(3)
    torch.testing.assert_close(layer.weight.square().sum(others), torch.full((5,), 4.0))
