"""The 3x3 convolution by Winograd's algorithm against the definition, in float64: values and gradients, borders too."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sngan_plugins import winograd
from sngan_plugins.layers import Conv3x3
from sngan_plugins.winograd import conv3x3


@pytest.fixture(autouse=True)
def some_tiles_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_TILES", 13)  # two images of 4 x 6 pixels, and one left over


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_definition(biased: bool, memory_format: torch.memory_format) -> None:
    random = torch.Generator().manual_seed(0)
    h = torch.randn(5, 3, 4, 6, dtype=torch.float64, generator=random).contiguous(memory_format=memory_format)
    weight = torch.randn(7, 3, 3, 3, dtype=torch.float64, generator=random).contiguous(memory_format=memory_format)
    bias = torch.randn(7, dtype=torch.float64, generator=random) if biased else None
    leaves = [t.requires_grad_() for t in (h, weight, bias) if t is not None]
    expected = F.conv2d(h, weight, bias, padding=1)
    found = conv3x3(h, weight, bias, "winograd")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found.is_contiguous(memory_format=torch.channels_last)
    towards = torch.randn(expected.shape, dtype=torch.float64, generator=random)
    wanted = torch.autograd.grad(expected, leaves, towards)
    torch.testing.assert_close(torch.autograd.grad(found, leaves, towards), wanted, rtol=1e-12, atol=1e-12)


def test_by_hand() -> None:
    # A kernel of ones counts the pixels of value 1 that it covers: 4 in a corner, 6 at an edge, 9 within.
    found = conv3x3(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3), torch.tensor([0.5]), "winograd")
    assert found.tolist() == [
        [[[4.5, 6.5, 6.5, 4.5], [6.5, 9.5, 9.5, 6.5], [6.5, 9.5, 9.5, 6.5], [4.5, 6.5, 6.5, 4.5]]]
    ]


def test_gradients_can_be_differentiated_as_penalties_need_it() -> None:
    random = torch.Generator().manual_seed(0)
    h = torch.randn(1, 2, 4, 2, dtype=torch.float64, generator=random, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=random, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, w: conv3x3(x, w, None, "winograd").square(), (h, weight))


def test_in_float32_it_rounds_as_finely_as_the_definition() -> None:
    random = torch.Generator().manual_seed(0)
    h, weight = torch.randn(2, 256, 8, 8, generator=random), torch.randn(256, 256, 3, 3, generator=random) / 48
    exact = F.conv2d(h.double(), weight.double(), padding=1)
    error = (conv3x3(h, weight, None, "winograd") - exact).norm() / exact.norm()
    assert error < 2e-6  # float32 has 24 bits: 6e-8 a rounding


@pytest.mark.parametrize(
    ("channels", "side", "images", "quicker"),
    [(256, 32, 16, True), (256, 16, 64, True), (255, 32, 16, False), (256, 16, 63, False)],
)
def test_wide_layers_of_many_pixels_take_it(channels: int, side: int, images: int, quicker: bool) -> None:
    h, weight = torch.empty(images, channels, side, side), torch.empty(256, channels, 3, 3)
    assert winograd._is_quicker(h, weight) == quicker
    odd_height, odd_width = torch.empty(images, channels, side + 1, side), torch.empty(images, channels, side, side + 1)
    assert not winograd._is_quicker(odd_height, weight)
    assert not winograd._is_quicker(odd_width, weight)
    assert not winograd._is_quicker(h.bfloat16(), weight.bfloat16())
    assert not winograd._is_quicker(h.to("meta"), weight.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not winograd._is_quicker(h, weight)


def test_a_layer_takes_it_where_it_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, h = Conv3x3(3, 3), torch.randn(2, 3, 4, 4)
    assert torch.equal(layer(h), conv3x3(h, layer.weight, layer.bias, "plain"))
    monkeypatch.setattr(winograd, "_LEAST_TILES", 8)
    monkeypatch.setattr(winograd, "_LEAST_CHANNELS", 3)
    assert torch.equal(layer(h), conv3x3(h, layer.weight, layer.bias, "winograd"))
