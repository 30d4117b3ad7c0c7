"""Convolutions with the weight's gradient as one product, against torch's in float64, and in bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sngan_plugins import unfolding
from sngan_plugins.layers import Conv3x3, Conv4x4, Deconv4x4
from sngan_plugins.resampling import pooled_conv
from sngan_plugins.unfolding import conv2d, conv_transpose2d

Convolution = Callable[..., Tensor]
BOTH = pytest.mark.parametrize(("ours", "torchs"), [(conv2d, F.conv2d), (conv_transpose2d, F.conv_transpose2d)])
KERNELS = pytest.mark.parametrize(
    ("kernel", "stride", "padding", "sides"),
    [(4, 2, 1, (4, 6)), (3, 2, 0, (5, 7)), (3, 1, 1, (3, 4)), (1, 1, 0, (2, 3)), (2, 3, 0, (5, 8))],
)


def weight_of(ours: Convolution, channels: int, channels_out: int, kernel: int, **like: object) -> Tensor:
    shape = (channels_out, channels) if ours is conv2d else (channels, channels_out)
    weight: Tensor = torch.randn(*shape, kernel, kernel, **like)  # type: ignore[call-overload]
    return weight


@BOTH
@KERNELS
@pytest.mark.parametrize(
    ("biased", "memory_format"), [(True, torch.contiguous_format), (False, torch.channels_last)], ids=str
)
def test_it_is_the_definition(
    ours: Convolution, torchs: Convolution, kernel: int, stride: int, padding: int, sides: tuple[int, int],
    biased: bool, memory_format: torch.memory_format,
) -> None:  # fmt: skip
    random = torch.Generator().manual_seed(0)
    h = torch.randn(5, 3, *sides, dtype=torch.float64, generator=random).contiguous(memory_format=memory_format)
    weight = weight_of(ours, 3, 7, kernel, dtype=torch.float64, generator=random).contiguous(
        memory_format=memory_format
    )
    bias = torch.randn(7, dtype=torch.float64, generator=random) if biased else None
    leaves = [t.requires_grad_() for t in (h, weight, bias) if t is not None]
    expected = torchs(h, weight, bias, stride, padding)
    found = ours(h, weight, bias, stride=stride, padding=padding, form="unfolded")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    towards = torch.randn(expected.shape, dtype=torch.float64, generator=random).contiguous(memory_format=memory_format)
    wanted = torch.autograd.grad(expected, leaves, towards)
    torch.testing.assert_close(torch.autograd.grad(found, leaves, towards), wanted, rtol=1e-12, atol=1e-12)


@BOTH
@pytest.mark.parametrize("form", [None, "unfolded"])
def test_a_batch_of_none_has_none(ours: Convolution, torchs: Convolution, form: str | None) -> None:
    h, weight = torch.ones(0, 3, 4, 6), weight_of(ours, 3, 7, 4).requires_grad_()
    found = ours(h, weight, None, stride=2, padding=1, form=form)
    assert found.shape == torchs(h, weight, None, stride=2, padding=1).shape
    found.sum().backward()
    assert weight.grad is not None
    assert weight.grad.count_nonzero() == 0


def test_by_hand() -> None:
    # The gradient by a kernel of sum(h * k) over all places: how many pixels of value 1 each of its entries meets.
    weight = torch.zeros(1, 1, 4, 4, requires_grad=True)
    conv2d(torch.ones(1, 1, 4, 4), weight, None, stride=2, padding=1, form="unfolded").sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[[[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]]]


@BOTH
def test_gradients_can_be_differentiated_as_penalties_need_it(ours: Convolution, torchs: Convolution) -> None:
    random = torch.Generator().manual_seed(0)
    h = torch.randn(1, 2, 4, 2, dtype=torch.float64, generator=random, requires_grad=True)
    weight = weight_of(ours, 2, 2, 4, dtype=torch.float64, generator=random, requires_grad=True)

    def squares(x: Tensor, w: Tensor) -> Tensor:
        return ours(x, w, None, stride=2, padding=1, form="unfolded").square()

    assert torch.autograd.gradgradcheck(squares, (h, weight))


@BOTH
def test_under_autocast_it_is_as_exact_as_torchs(ours: Convolution, torchs: Convolution) -> None:
    random = torch.Generator().manual_seed(0)
    h = torch.randn(8, 128, 4, 4, generator=random, requires_grad=True)
    weight = weight_of(ours, 128, 128, 4, generator=random).requires_grad_()
    bias = torch.randn(128, generator=random, requires_grad=True)
    leaves = (h, weight, bias)
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(h, weight, bias, stride=2, padding=1)
        assert unfolding._quicker(h, weight, 2, 16) == "unfolded"
    assert found.dtype == torch.bfloat16
    exact = torchs(*(leaf.double() for leaf in leaves), stride=2, padding=1)
    towards = torch.randn(exact.shape, generator=random).bfloat16()
    gradients = torch.autograd.grad(found, leaves, towards)
    wanted = torch.autograd.grad(exact, leaves, towards.double())
    assert [gradient.dtype for gradient in gradients] == [torch.float32] * 3
    for value, truth in zip((found, *gradients), (exact, *wanted), strict=True):
        assert (value - truth).norm() / truth.norm() < 0.006  # bfloat16 has 8 bits: 0.2 % a rounding


@pytest.mark.parametrize(
    ("channels", "side", "images", "stride", "form"),
    [
        (128, 8, 64, 2, "unfolded"), (128, 9, 64, 2, "plain"), (127, 8, 64, 2, "plain"), (128, 8, 512, 2, "unfolded"),
        (128, 8, 513, 2, "plain"), (256, 8, 256, 2, "unfolded"), (256, 8, 257, 2, "plain"),
        (128, 5, 64, 1, "unfolded"), (128, 6, 64, 1, "plain"), (128, 5, 64, 3, "plain"),
    ],
)  # fmt: skip
def test_wide_layers_on_small_maps_take_it_in_bfloat16(
    channels: int, side: int, images: int, stride: int, form: str
) -> None:
    h, weight = torch.empty(images, channels, side, side).bfloat16(), torch.empty(channels, 128, 4, 4).bfloat16()
    assert unfolding._quicker(h, weight, stride, side * side) == form
    assert unfolding._quicker(h.float(), weight.float(), stride, side * side) == "plain"
    assert unfolding._quicker(h.to("meta"), weight.to("meta"), stride, side * side) == "plain"
    with torch.autocast("cpu", torch.bfloat16):
        assert unfolding._quicker(h.float(), weight.float(), stride, side * side) == form
        assert unfolding._quicker(h.double(), weight.double(), stride, side * side) == "plain"  # autocast leaves it


def test_a_map_that_does_not_come_out_at_its_border_is_left_to_torch() -> None:
    layer, h = Conv4x4(128, 128).bfloat16(), torch.randn(2, 128, 7, 6).bfloat16()
    assert torch.equal(layer(h), F.conv2d(h, layer.weight, layer.bias, stride=2, padding=1))


@pytest.mark.parametrize(("kind", "side"), [(Conv3x3, 5), (Conv4x4, 16), (Deconv4x4, 8)])
def test_a_layer_takes_it_where_it_is_quicker(
    kind: type[nn.Module], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, h = kind(3, 3).bfloat16(), torch.randn(2, 3, side, side).bfloat16()
    assert type(layer(h).grad_fn).__name__.startswith("Convolution")
    monkeypatch.setattr(unfolding, "_LEAST_CHANNELS", 3)
    assert type(layer(h).grad_fn).__name__ == "AddBackward0"


def test_a_pooled_convolution_takes_it_where_it_is_quicker() -> None:
    h, weight = torch.randn(2, 128, 8, 8).bfloat16(), torch.randn(128, 128, 3, 3).bfloat16().requires_grad_()
    assert type(pooled_conv(h, weight, None).grad_fn).__name__ == "_UnfoldedBackward"
