"""The layers that architectures are built from; third-party architectures may use them too.

Weights start Glorot uniform and biases 0 (Glorot & Bengio, 2010), and only then is a layer constrained.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_cli.contracts import Normalization
from sngan_plugins import unfolding
from sngan_plugins.resampling import pooled_conv, upsampled, upsampled_conv
from sngan_plugins.winograd import conv3x3

RESIDUAL_GAIN = math.sqrt(2)
"""Gain of the 3x3 convolutions on a residual path, which feed a ReLU."""


def initialised(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding, gain: float = 1.0) -> nn.Module:
    """Initialise a layer in place: Glorot uniform with `gain`, bias 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    bias = getattr(layer, "bias", None)
    if bias is not None:
        nn.init.zeros_(bias)
    return layer


def output_dim(layer: nn.Module) -> int:
    """Which dimension of a layer's weight counts its outputs: 1 in a transposed convolution, else 0."""
    return 1 if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 0


def conv(
    norm: Normalization, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, gain: float = 1.0
) -> nn.Module:
    """Convolution that keeps the resolution (3x3, 1x1), or halves it (4x4 or 3x3 of stride 2)."""
    layer: nn.Conv2d
    match kernel, stride:
        case 3, 1:
            layer = Conv3x3(channels_in, channels_out)
        case 4, 2:
            layer = Conv4x4(channels_in, channels_out)
        case _:
            layer = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=(kernel - 1) // 2)
    return norm.constrain(initialised(layer, gain))


class Conv3x3(nn.Conv2d):
    """3x3 convolution that keeps the resolution, in its quicker form."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """Convolve h (N, C, H, W)."""
        return conv3x3(h, self.weight, self.bias)


class Conv4x4(nn.Conv2d):
    """4x4 convolution that halves the resolution, in its quicker form."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, 4, 2, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """Convolve h (N, C, H, W)."""
        return unfolding.conv2d(h, self.weight, self.bias, stride=2, padding=1)


class Deconv4x4(nn.ConvTranspose2d):
    """Transposed 4x4 convolution that doubles the resolution, in its quicker form."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, 4, 2, padding=1)

    def forward(self, h: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve h (N, C, H, W)."""
        return unfolding.conv_transpose2d(h, self.weight, self.bias, stride=2, padding=1)


def deconv(norm: Normalization, channels_in: int, channels_out: int) -> nn.Module:
    """Transposed 4x4 convolution of stride 2: doubles the resolution."""
    return norm.constrain(initialised(Deconv4x4(channels_in, channels_out)))


def linear(norm: Normalization, features_in: int, features_out: int) -> nn.Module:
    """Fully connected layer."""
    return norm.constrain(initialised(nn.Linear(features_in, features_out)))


def as_map(features: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Features (N, C * H * W) as a map (N, C, H, W) in channels-last order, which the layers after it keep."""
    return features.reshape(-1, *shape).contiguous(memory_format=torch.channels_last)


def flattened(h: Tensor) -> Tensor:
    """A map (N, C, H, W) as features (N, C * H * W); its gradient is in the order of h."""
    features: Tensor = _Flatten.apply(h)
    return features


class _Flatten(torch.autograd.Function):
    """Flattens; the gradient would otherwise come back in the order of features, which layers are slow to take up."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        """Flatten."""
        ctx.shape = h.shape
        return h.flatten(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Unflatten the gradient; it can be differentiated in turn."""
        return as_map(gradient, ctx.shape[1:])


class UpConv(nn.Module):
    """Nearest-neighbour upsampling x2, then a convolution, 3x3 or 1x1: (N, C, H, W) -> (N, C', 2H, 2W)."""

    def __init__(self, norm: Normalization, channels_in: int, channels_out: int, kernel: int, *, gain: float = 1.0):
        super().__init__()
        self.conv = _one_or_three(norm, channels_in, channels_out, kernel, gain)

    def forward(self, h: Tensor) -> Tensor:
        """Upsample and convolve."""
        if self.conv.kernel_size == (1, 1):  # a 1x1 convolution commutes with it, at a quarter of the cost
            return upsampled(self.conv(h))
        return upsampled_conv(h, self.conv.weight, self.conv.bias)


class DownConv(nn.Module):
    """A convolution, 3x3 or 1x1, then 2x2 average pooling: (N, C, H, W) -> (N, C', H/2, W/2)."""

    def __init__(self, norm: Normalization, channels_in: int, channels_out: int, kernel: int, *, gain: float = 1.0):
        super().__init__()
        self.conv = _one_or_three(norm, channels_in, channels_out, kernel, gain)

    def forward(self, h: Tensor) -> Tensor:
        """Convolve and pool."""
        if self.conv.kernel_size == (1, 1):  # a 1x1 convolution commutes with it, at a quarter of the cost
            out: Tensor = self.conv(F.avg_pool2d(h, 2))
            return out
        return pooled_conv(h, self.conv.weight, self.conv.bias)


def _one_or_three(norm: Normalization, channels_in: int, channels_out: int, kernel: int, gain: float) -> nn.Conv2d:
    if kernel not in (1, 3):
        raise ValueError(f"A convolution of {kernel}x{kernel} has no form for resampling: 1x1 and 3x3 have one.")
    return cast("nn.Conv2d", conv(norm, channels_in, channels_out, kernel, gain=gain))


class ClassAffine(nn.Module):
    """gamma * h + beta by channel, with one (gamma, beta) a class. Starts as the identity.

    The class-conditional part of conditional batch norm (de Vries et al., 2017; Miyato & Koyama, 2018).
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.gamma_of = nn.Embedding(classes, channels)
        self.beta_of = nn.Embedding(classes, channels)
        nn.init.ones_(self.gamma_of.weight)
        nn.init.zeros_(self.beta_of.weight)

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        """Scale and shift h (N, C, H, W) by the labels y (N,)."""
        gamma, beta = (of(y).view(-1, h.shape[1], 1, 1).to(h.dtype) for of in (self.gamma_of, self.beta_of))
        return torch.addcmul(beta, h, gamma)


class FeatureNorm(nn.Module):
    """A normalisation of (N, C, H, W), then gamma and beta: its own, or those of the class where `classes` is given.

    `statistics` is affine itself where `classes` is None, and only there: that is one pass over h, not two.
    """

    def __init__(self, statistics: nn.Module, channels: int, classes: int | None):
        super().__init__()
        self.statistics = statistics
        self.affine = None if classes is None else ClassAffine(channels, classes)

    @property
    def centres(self) -> bool:
        """Whether it takes each channel's mean away, and so whatever was added to all of the channel."""
        each = isinstance(self.statistics, nn.GroupNorm) and self.statistics.num_groups == self.statistics.num_channels
        return each or isinstance(self.statistics, nn.BatchNorm2d)

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        """Normalise, scale and shift."""
        h = self.statistics(h)
        return h if self.affine is None else self.affine(h, y)


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu & He, 2018), also of groups of a single value: these become 0, in any batch.

    torch's own module refuses them in a batch of one image, and takes them in larger ones.
    """

    def forward(self, h: Tensor) -> Tensor:
        """Normalise each group of channels of each image of h (N, C, H, W)."""
        return torch.group_norm(h, self.num_groups, self.weight, self.bias, self.eps)


def drop_idle_bias(norm: nn.Module, *layers: nn.Module) -> None:
    """Take the biases off convolutions whose results reach nothing but a norm that takes biases away again."""
    if isinstance(norm, FeatureNorm) and norm.centres:
        for layer in layers:
            (layer.conv if isinstance(layer, UpConv | DownConv) else layer).register_parameter("bias", None)


class NoNorm(nn.Module):
    """Leaves features as they are."""

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        """Return h."""
        return h


def batch_norm(channels: int, classes: int | None) -> nn.Module:
    """Batch norm (Ioffe & Szegedy, 2015), class-conditional where `classes` is given."""
    return FeatureNorm(nn.BatchNorm2d(channels, affine=classes is None), channels, classes)


def generator_norm(norm: Normalization, channels: int, classes: int | None) -> nn.Module:
    """What normalises a generator's features: the normalisation's choice, else (class-conditional) batch norm."""
    chosen = norm.features(channels, classes)
    return batch_norm(channels, classes) if chosen is None else chosen


def discriminator_norm(norm: Normalization, channels: int) -> nn.Module:
    """What normalises a discriminator's features: the normalisation's choice, else nothing."""
    chosen = norm.features(channels, None)
    return NoNorm() if chosen is None else chosen


class ProjectionHead(nn.Module):
    """Logits of features: b + <w + embed(y), phi> (Miyato & Koyama, "cGANs with Projection Discriminator", 2018)."""

    def __init__(self, norm: Normalization, features: int, classes: int | None):
        super().__init__()
        self.linear = cast("nn.Linear", linear(norm, features, 1))
        self.embed = None if classes is None else norm.constrain(initialised(nn.Embedding(classes, features)))

    def forward(self, phi: Tensor, y: Tensor | None) -> Tensor:
        """Map features phi (N, F) and labels y (N,) to logits (N,); in float32 also under autocast."""
        weight = self.linear.weight  # autocast would have `self.linear` and `@` in bf16, and leaves `*` alone
        if self.embed is not None:
            weight = weight + self.embed(y)
        return (weight * phi).sum(1) + self.linear.bias


def scaled(channels: int, width: float) -> int:
    """Channels times the width multiplier, at least 1."""
    return max(1, round(channels * width))
