"""Times the forms of convolutions on a device, to choose among those of `resampling.py`, `winograd.py`, `unfolding.py`.

    python benchmarks/convolutions.py [--device cpu] [--rounds 9]

Shapes are those of the 32 px ResNet, and of the widest layers of `standard`, at batch 64 and 128; forward and backward
of input and weight, channels last, the forms in turn (A B C A B C ...), medians in milliseconds. On a GPU they are CUDA
graphs.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import torch
from common import count, taken
from common import device as known_device
from torch import Tensor

from sngan_cli.engine.device import describe, keep_freed_memory, set_precision
from sngan_plugins import resampling, unfolding, winograd
from sngan_plugins.resampling import pooled_conv, upsampled_conv
from sngan_plugins.winograd import conv3x3


def strided(h: Tensor, weight: Tensor, bias: Tensor | None, form: Any) -> Tensor:
    """The 4x4 convolution of stride 2 of `standard`."""
    return unfolding.conv2d(h, weight, bias, stride=2, padding=1, form=form)


def transposed(h: Tensor, weight: Tensor, bias: Tensor | None, form: Any) -> Tensor:
    """The transposed one."""
    return unfolding.conv_transpose2d(h, weight, bias, stride=2, padding=1, form=form)


FORMS: dict[Callable[..., Tensor], tuple[str, ...]] = {
    upsampled_conv: get_args(resampling.Form),
    pooled_conv: get_args(resampling.Form),
    conv3x3: get_args(winograd.Form),
    strided: get_args(unfolding.Form),
    transposed: get_args(unfolding.Form),
}
SHAPES: tuple[tuple[str, Callable[..., Tensor], int, int, int], ...] = (
    ("G up    4 ->  8", upsampled_conv, 64, 256, 4),
    ("G up    8 -> 16", upsampled_conv, 64, 256, 8),
    ("G up   16 -> 32", upsampled_conv, 64, 256, 16),
    ("D down 32 -> 16", pooled_conv, 128, 128, 32),
    ("D down 16 ->  8", pooled_conv, 128, 128, 16),
    ("G at 32        ", conv3x3, 64, 256, 32),
    ("G at 16        ", conv3x3, 64, 256, 16),
    ("G at  8        ", conv3x3, 64, 256, 8),
    ("D at 16        ", conv3x3, 128, 128, 16),
    ("D at  8, wide  ", conv3x3, 128, 256, 8),
    ("D at  4, wide  ", conv3x3, 128, 512, 4),
    ("D at  3, wider ", conv3x3, 128, 1024, 3),
    ("D 4x4  32 -> 16", strided, 128, 64, 32),
    ("D 4x4  16 ->  8", strided, 128, 128, 16),
    ("D 4x4   8 ->  4", strided, 128, 256, 8),
    ("G 4x4   4 ->  8", transposed, 64, 256, 4),
    ("G 4x4   8 -> 16", transposed, 64, 128, 8),
)


def main() -> None:
    """Time every form on every shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=known_device, default="auto")
    parser.add_argument("--rounds", type=count, default=9)
    options = parser.parse_args()
    device: torch.device = options.device
    keep_freed_memory()
    print(f"{describe(device)}, torch {torch.__version__}, median of {options.rounds} in turn, ms")
    for precision in ("fp32", "tf32", "bf16") if device.type == "cuda" else ("fp32", "bf16"):
        set_precision(precision, device)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        for name, layer, batch, channels, side in SHAPES:
            h = laid_out(torch.randn(batch, channels, side, side), device, dtype)
            kernel = 4 if layer in (strided, transposed) else 3
            weight = laid_out(torch.randn(channels, channels, kernel, kernel) / 10, device, dtype)

            def work(form: str, layer: Callable[..., Tensor] = layer, h: Tensor = h, weight: Tensor = weight) -> None:
                out = layer(h, weight, None, form)
                torch.autograd.grad(out, (h, weight), torch.ones_like(out))

            # Winograd's is made for a processor's cache, and for even sides.
            winograd_fits = device.type == "cpu" and side % 2 == 0
            forms = [form for form in FORMS[layer] if form != "winograd" or winograd_fits]
            works = {form: replayed(partial(work, form), device) for form in forms}
            times: dict[str, list[float]] = {form: [] for form in forms}
            for _ in range(options.rounds):
                for form in forms:
                    times[form].append(taken(works[form], device, times=20 if device.type == "cuda" else 1))
            medians = {form: 1000 * statistics.median(taken) for form, taken in times.items()}
            told = "  ".join(f"{form} {taken:8.2f}" for form, taken in medians.items())
            print(f"{precision} {name}  {told}   quickest: {min(medians, key=lambda form: medians[form])}")


def replayed(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """On a GPU work as a graph, as the step is one: it takes what the kernels take; all libraries are ready then."""
    work()
    if device.type != "cuda":
        return work
    graph, beside = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    beside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(beside):
        work()
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph, stream=beside):
        work()
    return graph.replay


def laid_out(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A leaf on the device, channels last."""
    return tensor.to(device, dtype).contiguous(memory_format=torch.channels_last).requires_grad_()


if __name__ == "__main__":
    main()
