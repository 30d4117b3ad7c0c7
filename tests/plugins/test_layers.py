"""Building blocks against values worked out by hand and definitions written out in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import NetworkShape
from sngan_plugins.architectures import resnet_postact, resnet_preact, standard
from sngan_plugins.architectures.resnet_postact import ResnetPostact
from sngan_plugins.architectures.resnet_preact import ResnetPreact
from sngan_plugins.architectures.standard import Standard
from sngan_plugins.layers import (
    ClassAffine,
    DownConv,
    FeatureNorm,
    NoNorm,
    ProjectionHead,
    UpConv,
    as_map,
    conv,
    deconv,
    discriminator_norm,
    flattened,
    generator_norm,
    initialised,
    linear,
    scaled,
)
from sngan_plugins.normalizations.batch import Batch
from sngan_plugins.normalizations.instance import Instance
from sngan_plugins.normalizations.layer import Layer as LayerNorm
from sngan_plugins.normalizations.none import NoNormalization
from sngan_plugins.normalizations.spectral import Spectral

NONE, SPECTRAL = NoNormalization(), Spectral()


@pytest.mark.parametrize(
    ("build", "fans"),
    [
        (lambda: nn.Conv2d(30, 20, 3), 30 * 9 + 20 * 9),
        (lambda: nn.ConvTranspose2d(30, 20, 4), 30 * 16 + 20 * 16),
        (lambda: nn.Linear(300, 100), 300 + 100),
        (lambda: nn.Embedding(100, 300), 100 + 300),
    ],
)
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_weights_start_glorot_uniform_and_biases_0(build: Callable[[], nn.Conv2d], fans: int, gain: float) -> None:
    torch.manual_seed(0)
    layer = build()
    initialised(layer, gain)
    bound = gain * math.sqrt(6 / fans)
    assert 0.999 * bound < layer.weight.abs().max().item() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    for name, bias in layer.named_parameters():
        if name == "bias":
            assert not bias.any()


@pytest.mark.parametrize(
    "build", [lambda norm: conv(norm, 3, 5, 3), lambda norm: deconv(norm, 3, 5), lambda norm: linear(norm, 3, 5)]
)
def test_initialisation_reaches_constrained_layers(build: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    plain = build(NONE)
    torch.manual_seed(0)
    constrained = build(SPECTRAL)
    assert torch.equal(constrained.get_parameter("parametrizations.weight.original"), plain.get_parameter("weight"))
    assert not constrained.get_parameter("bias").any()


@pytest.mark.parametrize(
    ("build", "side"),
    [
        (lambda: conv(NONE, 2, 4, 1), 6),
        (lambda: conv(NONE, 2, 4, 3), 6),
        (lambda: conv(NONE, 2, 4, 3, stride=2), 3),
        (lambda: conv(NONE, 2, 4, 4, stride=2), 3),
        (lambda: deconv(NONE, 2, 4), 12),
        (lambda: UpConv(NONE, 2, 4, 3), 12),
        (lambda: DownConv(NONE, 2, 4, 3), 3),
    ],
)
def test_resolution(build: Callable[[], nn.Module], side: int) -> None:
    assert build()(torch.zeros(1, 2, 6, 6)).shape == (1, 4, side, side)


@pytest.mark.parametrize("kernel", [1, 3])
def test_up_conv_repeats_pixels_then_convolves(kernel: int) -> None:
    torch.manual_seed(0)
    layer, h = randomised(UpConv(NONE, 2, 4, kernel)), torch.randn(3, 2, 5, 5, dtype=torch.float64)
    repeated = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = F.conv2d(repeated, *layer.parameters(), padding=kernel // 2)
    torch.testing.assert_close(layer(h), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 3])
def test_down_conv_convolves_then_averages_2x2(kernel: int) -> None:
    torch.manual_seed(0)
    layer, h = randomised(DownConv(NONE, 2, 4, kernel)), torch.randn(3, 2, 6, 6, dtype=torch.float64)
    expected = F.conv2d(h, *layer.parameters(), padding=kernel // 2).view(3, 4, 3, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(layer(h), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [UpConv, DownConv])
def test_resampling_has_no_form_of_other_kernels(kind: type[UpConv | DownConv]) -> None:
    with pytest.raises(ValueError, match="A convolution of 5x5 has no form for resampling: 1x1 and 3x3 have one"):
        kind(NONE, 2, 4, 5)


def randomised(module: nn.Module) -> nn.Module:
    """The module in float64 with every parameter, biases too, drawn from N(0, 1)."""
    module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def test_class_affine_starts_as_the_identity() -> None:
    h = torch.randn(2, 4, 3, 3)
    assert torch.equal(ClassAffine(4, 3)(h, torch.tensor([2, 0])), h)


def test_class_affine_by_hand() -> None:
    affine = ClassAffine(1, 2)
    affine.load_state_dict(
        {"gamma_of.weight": torch.tensor([[2.0], [3.0]]), "beta_of.weight": torch.tensor([[1.0], [0]])}
    )
    assert affine(torch.full((2, 1, 1, 1), 5.0), torch.tensor([1, 0])).flatten().tolist() == [15, 11]


def test_features_become_a_map_in_channels_last_order_and_back() -> None:
    features = torch.arange(2.0 * 12).view(2, 12)
    h = as_map(features, (3, 2, 2))
    assert h[1, 2, 0, 1].item() == 12 + 2 * 4 + 1
    assert h.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(flattened(h), features)


def test_the_gradient_of_flattened_features_is_in_channels_last_order() -> None:
    torch.manual_seed(0)
    h = torch.randn(2, 3, 2, 2, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    seen: list[Tensor] = []
    h.register_hook(seen.append)
    weight = torch.randn(12, dtype=torch.float64)
    (flattened(h) @ weight).sum().backward()
    assert torch.equal(seen[0], weight.view(1, 3, 2, 2).expand(2, 3, 2, 2))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradgradcheck(lambda h: flattened(h).square(), h)


@pytest.mark.parametrize(("y", "logits"), [(None, [1.0 + 4 + 0.5, 3.0 + 8 + 0.5]), ([1, 0], [5.5 + 2, 11.5 + 3])])
def test_projection_head_by_hand(y: list[int] | None, logits: list[float]) -> None:
    # psi(phi) = (1, 2) . phi + 1/2; embed(0) = (1, 0), embed(1) = (0, 1)
    head = ProjectionHead(NONE, 2, None if y is None else 2)
    state = {"linear.weight": torch.tensor([[1.0, 2.0]]), "linear.bias": torch.tensor([0.5])}
    head.load_state_dict(state if y is None else state | {"embed.weight": torch.eye(2)})
    phi = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert head(phi, None if y is None else torch.tensor(y)).tolist() == logits


def test_projection_head_is_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    head, phi, y = ProjectionHead(NONE, 300, 3), torch.randn(4, 300), torch.tensor([0, 1, 2, 0])
    exact = head(phi, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(phi, y), exact)
        assert head(phi.bfloat16(), y).dtype == torch.float32


def test_projection_head_is_constrained_embedding_included() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(Spectral(), 6, 4)
    assert torch.linalg.vector_norm(head.linear.weight).item() == pytest.approx(1)
    assert torch.linalg.svdvals(head.embed.weight)[0].item() == pytest.approx(1, rel=0.03)


def test_projection_head_starts_glorot_uniform_embedding_included() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(NONE, 300, 100)
    for layer, fans in ((head.linear, 300 + 1), (head.embed, 100 + 300)):
        assert layer.weight.abs().max().item() == pytest.approx(math.sqrt(6 / fans), rel=0.01)


def test_generators_own_choice_is_batch_norm() -> None:
    for classes in (None, 3):
        norm = generator_norm(SPECTRAL, 4, classes)
        assert isinstance(norm, FeatureNorm)
        assert isinstance(norm.statistics, nn.BatchNorm2d)
        assert norm.statistics.affine == (classes is None)
        assert (norm.affine is None) == (classes is None)


def test_discriminators_own_choice_is_nothing() -> None:
    assert isinstance(discriminator_norm(SPECTRAL, 4), NoNorm)


def test_the_normalizations_choice_comes_first() -> None:
    h = torch.randn(2, 4, 3, 3)
    for norm in (generator_norm(Instance(), 4, None), discriminator_norm(Instance(), 4)):
        torch.testing.assert_close(norm(h, None), F.instance_norm(h))
    assert isinstance(generator_norm(NONE, 4, None), NoNorm)


def test_linear_by_hand() -> None:
    layer = linear(NONE, 2, 1)
    layer.load_state_dict({"weight": torch.tensor([[2.0, 3.0]]), "bias": torch.tensor([1.0])})
    out: Tensor = layer(torch.tensor([[1.0, 1.0]]))
    assert out.tolist() == [[6.0]]


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(64, 1.0, 64), (64, 0.25, 16), (3, 0.5, 2), (64, 0.001, 1)]
)
def test_scaled(channels: int, width: float, expected: int) -> None:
    assert scaled(channels, width) == expected


@pytest.mark.parametrize(("norm", "idle"), [(Batch(), True), (Instance(), True), (LayerNorm(), False)])
@pytest.mark.parametrize("arch", [Standard(width=0.05), ResnetPreact(width=0.05), ResnetPostact(width=0.05)])
def test_a_bias_is_left_out_where_a_norm_takes_it_away_and_nowhere_else(
    arch: Any, norm: Any, idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With such biases, whatever they are, networks give the same."""
    shape = NetworkShape(24, classes=3)
    torch.manual_seed(0)
    networks = {"G": arch.generator(shape, norm), "D": arch.discriminator(shape, norm)}
    for module in (standard, resnet_preact, resnet_postact):
        monkeypatch.setattr(module, "drop_idle_bias", lambda norm, *layers: None)
    torch.manual_seed(0)
    biased = {"G": arch.generator(shape, norm), "D": arch.discriminator(shape, norm)}
    y = torch.tensor([0, 2, 1, 2])
    given = {"G": torch.randn(4, 128, dtype=torch.float64), "D": torch.randn(4, 3, 24, 24, dtype=torch.float64)}
    for name, network in networks.items():
        other = biased[name].double()
        missing = other.state_dict().keys() - network.state_dict().keys()
        assert bool(missing) == idle
        for key, parameter in other.named_parameters():
            if key in missing:
                nn.init.normal_(parameter)
        # Sums over pixels and logits are in float32.
        torch.testing.assert_close(network.double()(given[name], y), other(given[name], y), rtol=1e-5, atol=1e-5)
