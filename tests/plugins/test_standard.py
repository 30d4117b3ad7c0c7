"""The standard CNN against parameter counts worked out by hand and against its layer list written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import NetworkShape
from sngan_plugins.architectures.standard import Standard
from sngan_plugins.normalizations.batch import Batch
from sngan_plugins.normalizations.instance import Instance
from sngan_plugins.normalizations.none import NoNormalization
from sngan_plugins.normalizations.spectral import Spectral


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("side", "first", "total"), [(32, 4, 3_811_907), (48, 6, 5_132_867)])
def test_generator_parameters(side: int, first: int, total: int) -> None:
    pixels = 512 * first**2
    layers = [
        128 * pixels + pixels,  # linear
        512 * 256 * 16 + 2 * 256,  # deconv 4x4, whose bias would be idle, and batch norm
        256 * 128 * 16 + 2 * 128,
        128 * 64 * 16 + 2 * 64,
        64 * 3 * 9 + 3,  # conv 3x3
    ]
    assert sum(layers) == total
    assert parameters(Standard().generator(NetworkShape(side), Spectral())) == total
    # With ten classes each batch norm has ten gammas and betas a channel.
    conditional = total + 9 * 2 * (256 + 128 + 64)
    assert parameters(Standard().generator(NetworkShape(side, classes=10), Spectral())) == conditional


@pytest.mark.parametrize(("side", "last", "total"), [(32, 4, 2_935_873), (48, 6, 2_946_113)])
def test_discriminator_parameters(side: int, last: int, total: int) -> None:
    features = 512 * last**2
    layers = [
        3 * 64 * 9 + 64,
        64 * 64 * 16 + 64,
        64 * 128 * 9 + 128,
        128 * 128 * 16 + 128,
        128 * 256 * 9 + 256,
        256 * 256 * 16 + 256,
        256 * 512 * 9 + 512,
        features + 1,  # linear
    ]
    assert sum(layers) == total
    assert parameters(Standard().discriminator(NetworkShape(side), Spectral())) == total
    conditional = total + 10 * features
    assert parameters(Standard().discriminator(NetworkShape(side, classes=10), Spectral())) == conditional


@pytest.mark.parametrize("linear_norm", [False, True])
def test_generator_layer_by_layer(linear_norm: bool) -> None:
    torch.manual_seed(0)
    network = Standard(width=0.02, linear_norm=linear_norm).generator(NetworkShape(16, classes=3), Batch()).double()
    for name, parameter in network.named_parameters():
        if "affine" in name:
            nn.init.normal_(parameter)
    z, y = torch.randn(4, 128, dtype=torch.float64), torch.tensor([0, 2, 1, 2])

    def norm(layer: nn.Module, h: Tensor) -> Tensor:
        gamma, beta = (e.weight[y][:, :, None, None] for e in (layer.affine.gamma_of, layer.affine.beta_of))
        return gamma * F.batch_norm(h, None, None, training=True) + beta

    h = network.linear(z).reshape(4, 10, 2, 2)  # 512 * 0.02 channels
    if linear_norm:
        h = F.relu(norm(network.linear_norm, h))
    for deconv, after in zip(network.deconvs, network.norms, strict=True):
        h = F.conv_transpose2d(h, deconv.weight, deconv.bias, stride=2, padding=1)
        h = F.relu(norm(after, h))
    images = torch.tanh(F.conv2d(h, network.to_rgb.weight, network.to_rgb.bias, padding=1))
    torch.testing.assert_close(network(z, y), images)
    assert images.shape == (4, 3, 16, 16)


@pytest.mark.parametrize("instance", [False, True])
@pytest.mark.parametrize("slope", [0.1, 0.2])
def test_discriminator_layer_by_layer(instance: bool, slope: float) -> None:
    torch.manual_seed(0)
    norm = Instance() if instance else NoNormalization()
    arch = Standard(width=0.02) if slope == 0.1 else Standard(width=0.02, leaky_slope=slope)  # the paper's by default
    network = arch.discriminator(NetworkShape(16, classes=3), norm).double()
    x, y = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 2, 1, 2])
    h = x
    for conv, stride in zip(network.convs, (1, 2, 1, 2, 1, 2, 1), strict=True):
        h = F.conv2d(h, conv.weight, conv.bias, stride, padding=1)
        h = F.leaky_relu(F.instance_norm(h) if instance else h, slope)
    phi = h.flatten(1)
    logits = network.head.linear(phi)[:, 0] + (network.head.embed.weight[y] * phi).sum(1)
    torch.testing.assert_close(network(x, y), logits)


def test_width_multiplies_hidden_channels() -> None:
    quarter = Standard(width=0.25)
    generator = quarter.generator(NetworkShape(32), NoNormalization())
    assert [deconv.out_channels for deconv in generator.deconvs] == [64, 32, 16]
    discriminator = quarter.discriminator(NetworkShape(32), NoNormalization())
    assert [conv.out_channels for conv in discriminator.convs] == [16, 16, 32, 32, 64, 64, 128]


def test_sides() -> None:
    sides = [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128]
    assert list(Standard.generator_sides) == sides
    assert list(Standard.discriminator_sides) == sides
