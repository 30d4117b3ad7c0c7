"""4x4 convolutions of stride 2, and transposed ones, whose weights' gradients are one product of matrices.

A gradient by a kernel is the sum over all places of (what the kernel covers there) times (the gradient there). With the
former written out as rows (im2col; Chellapilla et al., "High Performance Convolutional Neural Networks for Document
Processing", 2006) it is a product of matrices. Libraries go over a map row by row for it, and rows of a few pixels, two
apart, leave a processor's vector units idle.

`python benchmarks/convolutions.py` times it beside the library's.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Form = Literal["plain", "unfolded"]

_MOST_PIXELS, _LEAST_CHANNELS = 64, 128
"""Up to how many pixels of the smaller map, and from how many channels, it is the quicker form in bfloat16 on a CPU."""
_MOST_NUMBERS = 2**26
"""Up to how many numbers are written out: 128 MiB of them."""


def strided_conv(h: Tensor, weight: Tensor, bias: Tensor | None, form: Form | None = None) -> Tensor:
    """4x4 convolution of stride 2 with padding 1: (N, C, H, W) -> (N, C', H/2, W/2).

    `weight` is (C', C, 4, 4). Without a `form` it is the quicker one; `unfolded` takes an even H and W alone.
    """
    _, _, height, width = h.shape
    even = height % 2 == width % 2 == 0
    match form or (_quicker(h, weight, height // 2 * (width // 2)) if even else "plain"):
        case "unfolded":
            return _biased(_Strided.apply(*_cast(h, weight), False), bias)
        case "plain":
            return F.conv2d(h, weight, bias, stride=2, padding=1)


def strided_deconv(h: Tensor, weight: Tensor, bias: Tensor | None, form: Form | None = None) -> Tensor:
    """Transposed 4x4 convolution of stride 2 with padding 1: (N, C, H, W) -> (N, C', 2H, 2W).

    `weight` is (C, C', 4, 4). Without a `form` it is the quicker one.
    """
    match form or _quicker(h, weight, h[0, 0].numel()):
        case "unfolded":
            return _biased(_Strided.apply(*_cast(h, weight), True), bias)
        case "plain":
            return F.conv_transpose2d(h, weight, bias, stride=2, padding=1)


def _quicker(h: Tensor, weight: Tensor, pixels: int) -> Form:
    """The form for a smaller map of so many pixels; on a GPU and compiled it is torch's own."""
    if h.device.type != "cpu" or _precision(h) != torch.bfloat16 or torch.compiler.is_compiling():
        return "plain"
    narrow, wide = sorted(weight.shape[:2])
    takes_it = pixels <= _MOST_PIXELS and narrow >= _LEAST_CHANNELS
    return "unfolded" if takes_it and len(h) * pixels * 16 * wide <= _MOST_NUMBERS else "plain"


def _precision(h: Tensor) -> torch.dtype:
    """What torch's convolution would calculate in."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else h.dtype


def _cast(h: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in that precision; autocast does not look into functions with a backward of their own."""
    return h.to(_precision(h)), weight.to(_precision(h))


def _biased(out: Tensor, bias: Tensor | None) -> Tensor:
    """With the bias of each channel."""
    return out if bias is None else out.add_(bias.to(out.dtype).view(-1, 1, 1))


class _Strided(torch.autograd.Function):
    """The convolution, or the transposed one, which is its adjoint."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, transposed: bool) -> Tensor:
        """Convolve."""
        ctx.save_for_backward(h, weight)
        ctx.transposed = transposed
        convolve = F.conv_transpose2d if transposed else F.conv2d
        return convolve(h, weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Gradients by h and the weight; they can be differentiated in turn."""
        h, weight = ctx.saved_tensors
        of_h, of_weight, _ = ctx.needs_input_grad
        by_h = _Strided.apply(gradient, weight, not ctx.transposed) if of_h else None
        large, small = (gradient, h) if ctx.transposed else (h, gradient)
        return by_h, _by_weight(large, small) if of_weight else None, None


def _by_weight(large: Tensor, small: Tensor) -> Tensor:
    """Of maps (N, C, 2H, 2W) and (N, C', H, W), whichever of them is a gradient, that by the weight (C', C, 4, 4)."""
    padded = F.pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    covered = padded.unfold(1, 4, 2).unfold(2, 4, 2).permute(0, 1, 2, 4, 5, 3)
    rows = covered.reshape(-1, 16 * large.shape[1])
    product = small.permute(1, 0, 2, 3).reshape(small.shape[1], -1) @ rows
    return product.view(-1, 4, 4, large.shape[1]).permute(0, 3, 1, 2)
