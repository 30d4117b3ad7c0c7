"""Convolutions whose weight's gradient is one product of matrices, where the maps are small.

A gradient by a kernel is the sum over all places of (what the kernel covers there) times (the gradient there). With the
former written out as rows (im2col; Chellapilla et al., "High Performance Convolutional Neural Networks for Document
Processing", 2006) it is a product of matrices. Libraries go over a map row by row for it, and rows of a few pixels
leave a processor's vector units idle.

`python benchmarks/convolutions.py` times it beside the library's.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Form = Literal["plain", "unfolded"]

_MOST_PIXELS = {1: 25, 2: 64}
"""Up to how many pixels of the smaller map it is the quicker form in bfloat16 on a CPU, by stride."""
_LEAST_CHANNELS = 128
"""From how many channels on it is."""
_MOST_NUMBERS = 2**26
"""Up to how many numbers are written out: 128 MiB of them."""


def conv2d(
    h: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0, form: Form | None = None
) -> Tensor:
    """Convolution: (N, C, H, W) -> (N, C', H', W'), as torch's; `weight` is (C', C, K, K).

    Without a `form` it is the quicker one. `unfolded` takes a stride that comes out at both borders alone.
    """
    sides = [side + 2 * padding - weight.shape[-1] for side in h.shape[2:]]
    fits = all(side % stride == 0 for side in sides)
    pixels = (sides[0] // stride + 1) * (sides[1] // stride + 1)
    match form or (_quicker(h, weight, stride, pixels) if fits else "plain"):
        case "unfolded":
            return biased(_Unfolded.apply(*_cast(h, weight), (stride, padding), False), bias)
        case "plain":
            return F.conv2d(h, weight, bias, stride, padding)


def conv_transpose2d(
    h: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0, form: Form | None = None
) -> Tensor:
    """Transposed convolution: (N, C, H, W) -> (N, C', H', W'), as torch's; `weight` is (C, C', K, K).

    Without a `form` it is the quicker one.
    """
    match form or _quicker(h, weight, stride, h.shape[2] * h.shape[3]):
        case "unfolded":
            return biased(_Unfolded.apply(*_cast(h, weight), (stride, padding), True), bias)
        case "plain":
            return F.conv_transpose2d(h, weight, bias, stride, padding)


def _quicker(h: Tensor, weight: Tensor, stride: int, pixels: int) -> Form:
    """The form for a smaller map of so many pixels; on a GPU and compiled it is torch's own."""
    if h.device.type != "cpu" or precision(h) != torch.bfloat16 or torch.compiler.is_compiling():
        return "plain"
    narrow, wide = sorted(weight.shape[:2])
    takes_it = pixels <= _MOST_PIXELS.get(stride, 0) and narrow >= _LEAST_CHANNELS
    return "unfolded" if takes_it and len(h) * pixels * weight[0, 0].numel() * wide <= _MOST_NUMBERS else "plain"


def precision(h: Tensor) -> torch.dtype:
    """What torch's convolutions of h calculate in."""
    cast = torch.is_autocast_enabled(h.device.type) and h.dtype != torch.float64
    return torch.get_autocast_dtype(h.device.type) if cast else h.dtype


def _cast(h: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in that precision; autocast does not look into functions with a backward of their own."""
    return h.to(precision(h)), weight.to(precision(h))


def biased(out: Tensor, bias: Tensor | None) -> Tensor:
    """The map `out` (N, C, H, W), which is changed, with the bias (C,) of each channel if there is one."""
    return out if bias is None else out.add_(bias.to(out.dtype).view(-1, 1, 1))


class _Unfolded(torch.autograd.Function):
    """The convolution, or the transposed one, which is its adjoint."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, steps: tuple[int, int], transposed: bool) -> Tensor:
        """Convolve in `steps`: the stride and the padding."""
        ctx.save_for_backward(h, weight)
        ctx.steps, ctx.transposed = steps, transposed
        convolve = F.conv_transpose2d if transposed else F.conv2d
        return convolve(h, weight, None, *steps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients by h and the weight; they can be differentiated in turn."""
        h, weight = ctx.saved_tensors
        by_h = by_weight = None
        if ctx.needs_input_grad[0]:
            by_h = _Unfolded.apply(gradient, weight, ctx.steps, not ctx.transposed)
        if ctx.needs_input_grad[1]:
            large, small = (gradient, h) if ctx.transposed else (h, gradient)
            by_weight = _by_weight(large, small, weight.shape[-1], *ctx.steps)
        return by_h, by_weight, None, None


def _by_weight(large: Tensor, small: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Of both maps of a convolution, whichever of them is a gradient, that by the weight.

    Maps are (N, C, H, W) and, the smaller one, (N, C', H', W'); the weight is (C', C, kernel, kernel).
    """
    channels, channels_small = large.shape[1], small.shape[1]
    padded = F.pad(large.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    covered = padded.unfold(1, kernel, stride).unfold(2, kernel, stride).permute(0, 1, 2, 4, 5, 3)
    rows = covered.reshape(-1, kernel**2 * channels)
    product = small.permute(1, 0, 2, 3).reshape(channels_small, -1) @ rows
    return product.view(-1, kernel, kernel, channels).permute(0, 3, 1, 2)
