"""The pre-activation ResNet against parameter counts worked out by hand and its blocks written out."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import NetworkShape, Normalization
from sngan_plugins.architectures.resnet_preact import ResnetPreact
from sngan_plugins.normalizations.batch import Batch
from sngan_plugins.normalizations.instance import Instance
from sngan_plugins.normalizations.none import NoNormalization
from sngan_plugins.normalizations.spectral import Spectral

NONE = NoNormalization()

# The table of the paper, block by block, as (in, out) channels.
GENERATOR_BLOCKS = {
    32: [(256, 256), (256, 256), (256, 256)],
    48: [(512, 256), (256, 128), (128, 64)],
    64: [(1024, 512), (512, 256), (256, 128), (128, 64)],
    96: [(1024, 1024), (1024, 512), (512, 256), (256, 128), (128, 64)],
    128: [(1024, 1024), (1024, 512), (512, 256), (256, 128), (128, 64)],
}
DISCRIMINATOR_BLOCKS = {
    32: [(3, 128), (128, 128), (128, 128), (128, 128)],
    48: [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)],
    64: [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)],
    96: [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024), (1024, 1024)],
    128: [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024), (1024, 1024)],
}
HALVINGS = {32: 2, 48: 4, 64: 4, 96: 5, 128: 5}
"""How many of D's blocks, from the first, halve the side."""


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("side", "first", "total"),
    [(32, 4, 4_274_435), (48, 6, 4_876_739), (64, 4, 12_217_795), (96, 3, 31_220_163), (128, 4, 32_144_835)],
)
def test_generator_parameters(side: int, first: int, total: int) -> None:
    channels, last = GENERATOR_BLOCKS[side][0][0], GENERATOR_BLOCKS[side][-1][1]
    linear = 128 * channels * first**2 + channels * first**2
    # Conv 3x3 twice and the 1x1 shortcut, without idle biases; before each of the two a norm with gamma and beta.
    convs = sum(9 * i * o + 9 * o * o + i * o for i, o in GENERATOR_BLOCKS[side])
    norms = sum(2 * i + 2 * o for i, o in GENERATOR_BLOCKS[side]) + 2 * last
    to_rgb = 9 * last * 3 + 3
    assert linear + convs + norms + to_rgb == total
    with torch.device("meta"):
        assert parameters(ResnetPreact().generator(NetworkShape(side), Batch())) == total
        conditional = ResnetPreact().generator(NetworkShape(side, classes=10), Batch())
    assert parameters(conditional) == total + 9 * norms  # ten gammas and betas a channel


@pytest.mark.parametrize(
    ("side", "total"),
    [(32, 1_053_825), (48, 19_542_721), (64, 19_542_721), (96, 38_419_137), (128, 38_419_137)],
)
def test_discriminator_parameters(side: int, total: int) -> None:
    blocks, last = DISCRIMINATOR_BLOCKS[side], DISCRIMINATOR_BLOCKS[side][-1][1]
    convs = sum((9 * i * o + o) + (9 * o * o + o) for i, o in blocks)
    # The shortcut is learned where the block changes the side or the channels.
    shortcuts = sum(i * o + o for k, (i, o) in enumerate(blocks) if k < HALVINGS[side] or i != o)
    assert convs + shortcuts + last + 1 == total
    with torch.device("meta"):
        assert parameters(ResnetPreact().discriminator(NetworkShape(side), NONE)) == total
        conditional = ResnetPreact().discriminator(NetworkShape(side, classes=10), NONE)
    assert parameters(conditional) == total + 10 * last  # the projection's embedding


def test_spectral_norm_adds_no_parameters_and_leaves_batch_norm_in_the_generator() -> None:
    assert parameters(ResnetPreact().generator(NetworkShape(32), Spectral())) == 4_274_435
    assert parameters(ResnetPreact().discriminator(NetworkShape(32), Spectral())) == 1_053_825


@pytest.mark.parametrize(
    ("side", "first", "channels"),
    [
        (6, 3, [128, 64]),
        (8, 4, [128, 64]),
        (24, 3, [512, 256, 128, 64]),
        (40, 5, [512, 256, 128, 64]),
        (112, 7, [1024, 512, 256, 128, 64]),
        (512, 4, [1024, 1024, 1024, 1024, 512, 256, 128, 64]),
    ],
)
def test_other_sides_follow_the_pattern(side: int, first: int, channels: list[int]) -> None:
    with torch.device("meta"):
        generator = ResnetPreact().generator(NetworkShape(side), NONE)
        discriminator = ResnetPreact().discriminator(NetworkShape(side), NONE)
    assert generator.linear.out_features == channels[0] * first**2
    assert [(b.conv2.in_channels, b.conv2.out_channels) for b in generator.blocks] == [(c, c) for c in channels[1:]]
    # D mirrors G, and ends with one block more.
    assert [block.conv1.out_channels for block in discriminator.blocks] == [*channels[:0:-1], channels[0]]


def test_sides() -> None:
    sides = [6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448]
    assert list(ResnetPreact.generator_sides) == [*sides, 512]
    assert list(ResnetPreact.discriminator_sides) == [*sides, 512]


@pytest.mark.parametrize(("choice", "classes"), [(Batch(), 3), (NONE, None)])
def test_generator_layer_by_layer(choice: Normalization, classes: int | None) -> None:
    torch.manual_seed(0)
    network = randomised(ResnetPreact(width=0.02).generator(NetworkShape(12, classes=classes), choice))
    z, y = torch.randn(4, 128, dtype=torch.float64), torch.tensor([0, 2, 1, 2])

    def norm(layer: nn.Module, h: Tensor) -> Tensor:
        if classes is None:
            return h
        gamma, beta = (e.weight[y][:, :, None, None] for e in (layer.affine.gamma_of, layer.affine.beta_of))
        return gamma * F.batch_norm(h, None, None, training=True) + beta

    def upsample(h: Tensor) -> Tensor:
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = network.linear(z).reshape(4, 5, 3, 3)  # 256 * 0.02 channels
    for block in network.blocks:
        h = convolve(block.conv1.conv, upsample(F.relu(norm(block.norm1, x))))
        h = convolve(block.conv2, F.relu(norm(block.norm2, h)))
        x = h + convolve(block.shortcut.conv, upsample(x))
    images = torch.tanh(convolve(network.to_rgb, F.relu(norm(network.norm, x))))
    torch.testing.assert_close(network(z, y), images)
    assert images.shape == (4, 3, 12, 12)


@pytest.mark.parametrize("norm", [NONE, Instance()])
@pytest.mark.parametrize(("side", "halvings"), [(12, 2), (32, 2)])
def test_discriminator_layer_by_layer(norm: Normalization, side: int, halvings: int) -> None:
    torch.manual_seed(0)
    network = ResnetPreact(width=0.04).discriminator(NetworkShape(side, classes=3), norm)
    if norm is NONE:
        randomised(network)
    network.double()
    x, y = torch.randn(4, 3, side, side, dtype=torch.float64), torch.tensor([0, 2, 1, 2])

    def activate(h: Tensor) -> Tensor:
        return F.relu(h if norm is NONE else F.instance_norm(h))

    def main_conv(layer: nn.Module) -> nn.Module:
        return layer if isinstance(layer, nn.Conv2d) else layer.conv

    h = x
    for k, block in enumerate(network.blocks):
        residual = convolve(block.conv1, h if k == 0 else activate(h))
        residual = convolve(main_conv(block.conv2), activate(residual))
        shortcut = h if isinstance(block.shortcut, nn.Identity) else convolve(main_conv(block.shortcut), h)
        h = residual + shortcut
        if k < halvings:
            h = F.avg_pool2d(h, 2)
    phi = activate(h).sum((2, 3))
    linear, embed = network.head.linear, network.head.embed
    logits = phi @ linear.weight[0] + linear.bias + (embed.weight[y] * phi).sum(1)
    # The sum over pixels is taken in float32.
    torch.testing.assert_close(network.float()(x.float(), y).double(), logits, rtol=1e-4, atol=1e-4)


def convolve(conv: nn.Module, h: Tensor) -> Tensor:
    weight = conv.get_parameter("weight")
    return F.conv2d(h, weight, conv.bias, padding=weight.shape[-1] // 2)


def randomised(network: nn.Module) -> nn.Module:
    """The network in float64 with every bias, gamma and beta drawn from N(0, 1)."""
    for name, parameter in network.double().named_parameters():
        if name.endswith("bias") or "affine" in name:
            nn.init.normal_(parameter)
    return network


def test_residual_convolutions_start_with_gain_sqrt_2() -> None:
    torch.manual_seed(0)
    generator = ResnetPreact(width=0.5).generator(NetworkShape(32), NONE)
    discriminator = ResnetPreact(width=0.5).discriminator(NetworkShape(32), NONE)
    down, same = discriminator.blocks[1], discriminator.blocks[2]
    residual = [generator.blocks[0].conv1.conv, generator.blocks[0].conv2, down.conv1, down.conv2.conv, same.conv1]
    residual += [same.conv2]
    others = [generator.blocks[0].shortcut.conv, generator.to_rgb, discriminator.blocks[0].shortcut.conv]
    for convs, gain in ((residual, math.sqrt(2)), (others, 1.0)):
        for conv in convs:
            glorot = math.sqrt(6 / (conv.kernel_size[0] ** 2 * (conv.in_channels + conv.out_channels)))
            assert conv.weight.abs().max().item() == pytest.approx(gain * glorot, rel=0.02)


def test_features_are_summed_in_float32_under_autocast() -> None:
    network = ResnetPreact(width=0.04).discriminator(NetworkShape(12), NONE)
    seen: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, 3, 12, 12), None)
    assert seen[0].dtype == torch.float32


@pytest.mark.parametrize(("d_hidden", "hidden"), [("out", [64, 128, 256, 512, 1024]), ("in", [64, 64, 128, 256, 512])])
def test_d_hidden(d_hidden: str, hidden: list[int]) -> None:
    with torch.device("meta"):
        network = ResnetPreact.model_validate({"d_hidden": d_hidden}).discriminator(NetworkShape(48), NONE)
    assert [block.conv1.out_channels for block in network.blocks] == hidden


def test_last_ch_is_scaled_like_the_others() -> None:
    network = ResnetPreact(last_ch=512, width=0.25).discriminator(NetworkShape(48), NONE)
    channels = [3, *(block.conv1.out_channels for block in network.blocks)]
    assert channels == [3, 16, 32, 64, 128, 128]
    assert network.head.linear.in_features == 128
    # The last block changes neither side nor channels now, so that its shortcut is the identity.
    learned = [not isinstance(block.shortcut, nn.Identity) for block in network.blocks]
    assert learned == [True, True, True, True, False]
    assert [i == o for i, o in pairwise(channels)] == [False, False, False, False, True]
