"""A 3x3 convolution in 16 multiplications for each 2x2 results, where by its definition it takes 36.

Winograd's F(2x2, 3x3) (Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4.1): with g a
kernel and d the 4x4 pixels that 2x2 results rest on, they are A^T [(G g G^T) * (B^T d B)] A, where * is by element. A
and B hold -1, 0 and 1 alone: additions, which a processor does within its cache if it has a few images at a time.

`python benchmarks/convolutions.py` times it beside the definition.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sngan_plugins import unfolding

Form = Literal["winograd", "plain", "unfolded"]

_TILES = 1024
"""How many 4x4 tiles are worked on at a time: with 256 channels what is made of them takes some 50 MiB."""
_LEAST_TILES, _LEAST_CHANNELS = 4096, 256
"""From where on it is well the quicker form on a CPU in float32, measured with AVX2 and with AVX-512."""


def conv3x3(h: Tensor, weight: Tensor, bias: Tensor | None, form: Form | None = None) -> Tensor:
    """3x3 convolution with padding 1: (N, C, H, W) -> (N, C', H, W).

    `weight` is (C', C, 3, 3). Without a `form` it is the quicker one; `winograd` takes an even H and W alone.
    """
    if form == "winograd" or (form is None and _is_quicker(h, weight)):
        return unfolding.biased(_Winograd.apply(h, weight), bias)
    return unfolding.conv2d(h, weight, bias, padding=1, form=form)


def _is_quicker(h: Tensor, weight: Tensor) -> bool:
    """Whether it is for these shapes; on a GPU and compiled are torch's own kernels, which are fused."""
    if h.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    images, channels, height, width = h.shape
    takes_it = h.dtype == weight.dtype == torch.float32 and height % 2 == width % 2 == 0
    large = images * height * width >= 4 * _LEAST_TILES and min(channels, len(weight)) >= _LEAST_CHANNELS
    return takes_it and large


class _Winograd(torch.autograd.Function):
    """The convolution. Its gradient by the input is one, too, with the kernels turned round."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor) -> Tensor:
        """Convolve."""
        ctx.save_for_backward(h, weight)
        return _convolved(h, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients by h and the weight; they can be differentiated in turn."""
        h, weight = ctx.saved_tensors
        of_h, of_weight = ctx.needs_input_grad
        by_h = _Winograd.apply(gradient, weight.transpose(0, 1).flip(2, 3)) if of_h else None
        _, by_weight, _ = torch.ops.aten.convolution_backward(
            gradient, h, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, of_weight, False]
        )
        return by_h, by_weight


def _convolved(h: Tensor, weight: Tensor) -> Tensor:
    """The convolution, tiles of a few images at a time."""
    images, channels, height, width = h.shape
    channels_out, rows, columns = len(weight), height // 2, width // 2
    g = h.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    kernels = torch.kron(g, g) @ weight.permute(2, 3, 0, 1).reshape(9, -1)
    kernels = kernels.view(16 * channels_out, channels, 1, 1)
    shape = (images, channels_out, height, width)
    out = torch.empty(shape, dtype=h.dtype, device=h.device, memory_format=torch.channels_last)
    few = max(1, _TILES // (rows * columns))
    for x, y in zip(torch.split(h.permute(0, 2, 3, 1), few), torch.split(out.permute(0, 2, 3, 1), few), strict=True):
        across = h.new_empty((4, len(x), height + 2, columns, channels))
        _spread(F.pad(x, (0, 0, 1, 1, 1, 1)), across)
        tiles = h.new_empty((len(x), rows, columns, 4, 4, channels))
        _spread(across, tiles.permute(3, 4, 0, 1, 2, 5))
        # Sixteen products of matrices, as one convolution: that is the quicker library on a CPU.
        pixels = tiles.view(1, -1, 1, 16 * channels).permute(0, 3, 1, 2)
        products = F.conv2d(pixels, kernels, groups=16).permute(0, 2, 3, 1)
        products = products.reshape(*tiles.shape[:5], channels_out).permute(3, 4, 0, 1, 2, 5)
        half = h.new_empty((2, *products.shape[1:]))
        _gather(products, half)
        _gather(half.transpose(0, 1), y.view(len(x), rows, 2, columns, 2, channels_out).permute(4, 2, 0, 1, 3, 5))
    return out


def _spread(d: Tensor, out: Tensor) -> None:
    """B^T: of each four pixels along dimension 2 of d, two apart, four sums along dimension 0 of `out`."""
    d0, d1, d2, d3 = d.unfold(2, 4, 2).unbind(-1)
    torch.sub(d0, d2, out=out[0])
    torch.add(d1, d2, out=out[1])
    torch.sub(d2, d1, out=out[2])
    torch.sub(d1, d3, out=out[3])


def _gather(m: Tensor, out: Tensor) -> None:
    """A^T: of the four along dimension 0 of m, the two along that of `out`."""
    torch.add(m[0], m[1], out=out[0]).add_(m[2])
    torch.sub(m[1], m[2], out=out[1]).sub_(m[3])
