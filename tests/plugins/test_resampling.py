"""Every form of the resampling convolutions against the definition, in float64: values and gradients, borders too."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sngan_cli.conformance.absent_gpu import GPU, absent_gpu
from sngan_plugins import resampling
from sngan_plugins.resampling import Form, pooled_conv, upsampled_conv

FORMS: tuple[Form, ...] = get_args(Form)


def upsampled(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    repeated = h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return F.conv2d(repeated, weight, bias, padding=1)


def pooled(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = F.conv2d(h, weight, bias, padding=1)
    return (out[..., 0::2, 0::2] + out[..., 1::2, 0::2] + out[..., 0::2, 1::2] + out[..., 1::2, 1::2]) / 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("fused", "defined"), [(upsampled_conv, upsampled), (pooled_conv, pooled)])
def test_every_form_is_the_definition(
    fused: object, defined: object, form: Form, biased: bool, memory_format: torch.memory_format
) -> None:
    random = torch.Generator().manual_seed(0)
    h = torch.randn(2, 3, 4, 6, dtype=torch.float64, generator=random).contiguous(memory_format=memory_format)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64, generator=random).contiguous(memory_format=memory_format)
    bias = torch.randn(5, dtype=torch.float64, generator=random) if biased else None
    leaves = [t.requires_grad_() for t in (h, weight, bias) if t is not None]
    expected = defined(h, weight, bias)  # type: ignore[operator]
    found = fused(h, weight, bias, form)  # type: ignore[operator]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    towards = torch.randn(expected.shape, dtype=torch.float64, generator=random)
    wanted = torch.autograd.grad(expected, leaves, towards)
    torch.testing.assert_close(torch.autograd.grad(found, leaves, towards), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fused", [upsampled_conv, pooled_conv])
def test_gradients_can_be_differentiated_as_penalties_need_it(fused: Any, form: Form) -> None:
    random = torch.Generator().manual_seed(0)
    h = torch.randn(1, 2, 4, 2, dtype=torch.float64, generator=random, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=random, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, w: fused(x, w, None, form).square(), (h, weight))


@pytest.mark.parametrize("form", FORMS)
def test_by_hand(form: Form) -> None:
    # One pixel of value 1 becomes four; a kernel of ones then counts how many of the four it covers.
    ones = torch.ones(1, 1, 3, 3)
    assert upsampled_conv(torch.ones(1, 1, 1, 1), ones, None, form).tolist() == [[[[4, 4], [4, 4]]]]
    # Over four pixels, each kernel position covers all of them: their sum, and so is the average.
    four = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert pooled_conv(four, ones, torch.tensor([0.5]), form).tolist() == [[[[10.5]]]]


def test_without_a_form_it_is_the_one_of_the_device() -> None:
    h, weight = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3)
    assert torch.equal(upsampled_conv(h, weight, None), upsampled_conv(h, weight, None, "box"))
    assert torch.equal(pooled_conv(h, weight, None), pooled_conv(h, weight, None, "box"))


@pytest.mark.parametrize(
    ("dtype", "tf32", "form"),
    [
        (torch.bfloat16, False, "4x4"),
        (torch.float16, False, "4x4"),
        (torch.float32, True, "4x4"),
        (torch.float32, False, "box"),
        (torch.float64, True, "box"),
    ],
)
def test_on_a_gpu_it_is_the_one_of_the_precision(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tf32: bool, form: Form
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    with absent_gpu():
        assert resampling._quicker(torch.empty(1, 2, 4, 4, dtype=dtype, device=GPU)) == form


def test_shapes_are_found_without_values() -> None:
    h, weight = torch.empty(1, 2, 4, 4, device="meta"), torch.empty(3, 2, 3, 3, device="meta")
    assert resampling.upsampled(h).shape == (1, 2, 8, 8)
    assert upsampled_conv(h, weight, None).shape == (1, 3, 8, 8)
    assert pooled_conv(h, weight, None).shape == (1, 3, 2, 2)


def test_upsampling_keeps_the_precision_under_autocast_on_a_gpu() -> None:
    torch.set_autocast_enabled("cuda", True)
    try:
        with absent_gpu():
            h = torch.empty(1, 2, 4, 4, dtype=torch.bfloat16, device=GPU)
            assert F.interpolate(h, scale_factor=2).dtype == torch.float32
            assert resampling.upsampled(h).dtype == torch.bfloat16
    finally:
        torch.set_autocast_enabled("cuda", False)
