"""The post-activation ResNet against parameter counts worked out by hand and its blocks written out."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import NetworkShape, Normalization
from sngan_plugins.architectures.resnet_postact import ResnetPostact
from sngan_plugins.architectures.resnet_preact import ResnetPreact
from sngan_plugins.normalizations.batch import Batch
from sngan_plugins.normalizations.instance import Instance
from sngan_plugins.normalizations.none import NoNormalization

NONE = NoNormalization()

G_BLOCKS = {
    48: [(512, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64)],
    96: [(1024, 1024), (1024, 1024), (1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128),
         (128, 64)],
}  # fmt: skip
"""As (in, out) channels; the first, third, ... block doubles the side."""


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("side", "total"), [(48, 14_272_899), (96, 56_295_299)])
def test_generator_parameters(side: int, total: int) -> None:
    blocks = G_BLOCKS[side]
    first = blocks[0][0]
    linear = 128 * 9 * first + 9 * first
    convs = sum(9 * i * o + 9 * o * o for i, o in blocks)  # whose biases would be idle
    shortcuts = sum(i * o + o for i, o in blocks[::2])  # where the side changes, and there alone the channels do
    norms = sum(2 * o + 2 * o for _, o in blocks)
    to_rgb = 9 * 64 * 3 + 3
    assert linear + convs + shortcuts + norms + to_rgb == total
    with torch.device("meta"):
        assert parameters(ResnetPostact().generator(NetworkShape(side), Batch())) == total
        conditional = ResnetPostact().generator(NetworkShape(side, classes=10), Batch())
    assert parameters(conditional) == total + 9 * norms


@pytest.mark.parametrize(("initial_ch", "total"), [(16, 696_849), (32, 2_783_777), (64, 11_127_873)])
def test_discriminator_parameters_at_48_px(initial_ch: int, total: int) -> None:
    widths = [3, *(initial_ch * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8))]
    blocks = list(pairwise(widths))
    convs = sum((9 * i * o + o) + (9 * o * o + o) for i, o in blocks)
    shortcuts = sum(i * o + o for i, o in blocks[::2])
    assert convs + shortcuts + widths[-1] + 1 == total
    network = ResnetPostact(initial_ch=initial_ch).discriminator(NetworkShape(48), NONE)
    assert parameters(network) == total
    conditional = ResnetPostact(initial_ch=initial_ch).discriminator(NetworkShape(48, classes=10), NONE)
    assert parameters(conditional) == total + 10 * widths[-1]


def test_other_sides_follow_the_pattern_up_to_1024_channels() -> None:
    assert ResnetPostact.generator_sides == ResnetPostact.discriminator_sides == ResnetPreact.generator_sides
    widths = [64, 128, 256, 512, 1024, 1024]
    with torch.device("meta"):
        generator = ResnetPostact().generator(NetworkShape(192), NONE)
        discriminator = ResnetPostact().discriminator(NetworkShape(192), NONE)
    twice = [width for width in widths for _ in range(2)]
    assert [block.conv2.out_channels for block in discriminator.blocks] == twice
    assert [block.conv2.out_channels for block in generator.blocks] == twice[:0:-1]
    assert generator.linear.out_features == 1024 * 3**2


def test_residual_convolutions_start_with_gain_sqrt_2() -> None:
    torch.manual_seed(0)
    generator = ResnetPostact(width=0.5).generator(NetworkShape(12), NONE)
    discriminator = ResnetPostact(width=0.5).discriminator(NetworkShape(12), NONE)
    (up, level), (down, plain) = generator.blocks[:2], discriminator.blocks[2:4]
    residual = [up.conv1.conv, up.conv2, level.conv1, level.conv2, down.conv1, down.conv2, plain.conv1, plain.conv2]
    others = [up.shortcut.conv, generator.to_rgb, down.shortcut]
    for convs, gain in ((residual, math.sqrt(2)), (others, 1.0)):
        for conv in convs:
            glorot = math.sqrt(6 / (conv.kernel_size[0] ** 2 * (conv.in_channels + conv.out_channels)))
            assert conv.weight.abs().max().item() == pytest.approx(gain * glorot, rel=0.02)


def test_features_are_summed_in_float32_under_autocast() -> None:
    network = ResnetPostact(initial_ch=4).discriminator(NetworkShape(12), NONE)
    seen: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, 3, 12, 12), None)
    assert seen[0].dtype == torch.float32


def convolve(conv: nn.Module, h: Tensor) -> Tensor:
    return F.conv2d(h, conv.weight, conv.bias, padding=conv.weight.shape[-1] // 2)


def test_generator_layer_by_layer() -> None:
    torch.manual_seed(0)
    network = ResnetPostact(width=0.05).generator(NetworkShape(12, classes=3), Batch()).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    z, y = torch.randn(4, 128, dtype=torch.float64), torch.tensor([0, 2, 1, 2])

    def norm(layer: nn.Module, h: Tensor) -> Tensor:
        gamma, beta = (e.weight[y][:, :, None, None] for e in (layer.affine.gamma_of, layer.affine.beta_of))
        return gamma * F.batch_norm(h, None, None, training=True) + beta

    x = network.linear(z).reshape(4, 6, 3, 3)  # 128 * 0.05 channels
    for block, up in zip(network.blocks, (True, False, True), strict=True):
        conv1 = block.conv1.conv if up else block.conv1
        enlarged = x.repeat_interleave(2, 2).repeat_interleave(2, 3) if up else x
        h = F.relu(norm(block.norm1, convolve(conv1, enlarged)))
        h = F.relu(norm(block.norm2, convolve(block.conv2, h)))
        x = h + (convolve(block.shortcut.conv, enlarged) if up else enlarged)
    torch.testing.assert_close(network(z, y), torch.tanh(convolve(network.to_rgb, x)))


@pytest.mark.parametrize("norm", [NONE, Instance()])
def test_discriminator_layer_by_layer(norm: Normalization) -> None:
    torch.manual_seed(0)
    network = ResnetPostact(initial_ch=4).discriminator(NetworkShape(12, classes=3), norm).double()
    x, y = torch.randn(2, 3, 12, 12, dtype=torch.float64), torch.tensor([2, 0])

    def activate(h: Tensor) -> Tensor:
        return F.relu(h if norm is NONE else F.instance_norm(h))

    h = x
    for k, block in enumerate(network.blocks):
        h = F.avg_pool2d(h, 2) if k % 2 == 0 else h
        residual = activate(convolve(block.conv2, activate(convolve(block.conv1, h))))
        h = residual + (convolve(block.shortcut, h) if k % 2 == 0 else h)
    assert h.shape == (2, 8, 3, 3)
    phi = h.sum((2, 3))
    expected = network.head.linear(phi)[:, 0] + (network.head.embed.weight[y] * phi).sum(1)
    torch.testing.assert_close(network.float()(x.float(), y).double(), expected, rtol=1e-4, atol=1e-4)
