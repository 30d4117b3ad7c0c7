"""A 3x3 convolution with nearest-neighbour upsampling before it, or average pooling after it, at the lower resolution.

Both pairs compute each product several times. Written as convolutions of stride 2 they need 9/36 (`box`) or 16/36
(`4x4`) of the multiplications and give the same result, borders included:

- `box`: repeating each pixel is spreading pixels out with zeros between and summing over a 2x2 box. Convolutions
  commute, so the 3x3 one may come first, as a transposed convolution of stride 2. Pooling, likewise, may come first.
- `4x4`: the box is multiplied into the kernel beforehand, which makes it 4x4.
- `plain`: as it is defined.

`python benchmarks/convolutions.py` times the three on a device.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sngan_plugins import unfolding

Form = Literal["plain", "box", "4x4"]


def upsampled_conv(h: Tensor, weight: Tensor, bias: Tensor | None, form: Form | None = None) -> Tensor:
    """Nearest-neighbour upsampling x2, then a 3x3 convolution with padding 1: (N, C, H, W) -> (N, C', 2H, 2W).

    `weight` is that of a convolution, (C', C, 3, 3). Without a `form` it is the quicker one.
    """
    match form or _quicker(h):
        case "box":
            # With a bias of its own the transposed convolution takes four times as long in bf16 on a CPU.
            spread = F.conv_transpose2d(h, weight.transpose(0, 1).flip(2, 3), stride=2)
            return unfolding.biased(_BoxSum.apply(spread, 0), bias)
        case "4x4":
            return F.conv_transpose2d(h, _boxed(weight).transpose(0, 1).flip(2, 3), bias, stride=2, padding=1)
        case "plain":
            return F.conv2d(upsampled(h), weight, bias, padding=1)


def pooled_conv(h: Tensor, weight: Tensor, bias: Tensor | None, form: Form | None = None) -> Tensor:
    """A 3x3 convolution with padding 1, then 2x2 average pooling: (N, C, H, W) -> (N, C', H/2, W/2).

    `weight` is that of the convolution, (C', C, 3, 3). Without a `form` it is the quicker one.
    """
    match form or _quicker(h):
        case "box":
            return unfolding.conv2d(_BoxSum.apply(h, 1), weight / 4, bias, stride=2)
        case "4x4":
            return F.conv2d(h, _boxed(weight) / 4, bias, stride=2, padding=1)
        case "plain":
            return F.avg_pool2d(F.conv2d(h, weight, bias, padding=1), 2)


def upsampled(h: Tensor) -> Tensor:
    """Nearest-neighbour upsampling x2, in the precision of h: on a GPU autocast would go over to float32."""
    with torch.autocast("cuda", enabled=False):  # not h's type of device: there is no autocast of "meta"
        return F.interpolate(h, scale_factor=2)


def _quicker(h: Tensor) -> Form:
    """The form for the device and the precision: tensor cores multiply faster than a GPU sums over boxes."""
    match h.device.type:
        case "cpu":
            return "box"
        case "cuda":
            precision = unfolding.precision(h)
            tf32 = precision == torch.float32 and torch.backends.cudnn.allow_tf32
            return "4x4" if tf32 or precision in (torch.bfloat16, torch.float16) else "box"
        case _:
            return "plain"


class _BoxSum(torch.autograd.Function):
    """Sum over 2x2 boxes at stride 1: (N, C, H, W) -> (N, C, H - 1, W - 1), or H + 1, W + 1 with a padding of 1.

    Its adjoint is the same sum with the other padding. Average pooling would keep its input for that, a large one.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, padding: int) -> Tensor:
        """Sum."""
        ctx.padding = padding
        return F.avg_pool2d(h, 2, stride=1, padding=padding, divisor_override=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Sum the gradient; it can be differentiated in turn."""
        return _BoxSum.apply(gradient, 1 - ctx.padding), None


def _boxed(weight: Tensor) -> Tensor:
    """Kernels (C', C, 3, 3) convolved with a 2x2 box of ones: (C', C, 4, 4)."""
    rows = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))
