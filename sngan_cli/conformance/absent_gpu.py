"""A GPU that is not there: torch's fake tensors know the device of everything, and compute nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from sngan_cli.conformance.promises import UncheckedError, expect
from sngan_cli.wording import first_line

GPU = torch.device("cuda", 0)


@contextmanager
def absent_gpu() -> Iterator[None]:
    """Context in which tensors can be made on `GPU`, or `put` there, whether there is one or not.

    Raises `BrokenPromiseError` where tensors of two devices meet, and `UncheckedError` where a value is asked for. Of
    a loss no gradients can be had.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise UncheckedError(
            "the host reads what the GPU computes, such as by .item(), an if or a mask: it waits for it there, and a "
            "step of training cannot be one CUDA graph"
        ) from error
    except RuntimeError as error:
        said = first_line(error)
        expect(
            "devices" not in said,
            f"it is given tensors on a GPU, and makes or keeps others on the CPU ({said}): make them with device=, or "
            "keep them by register_buffer",
        )
        raise UncheckedError(f"it cannot be tried without one: {said}") from error


def put(*modules: nn.Module) -> None:
    """Put parameters and buffers on `GPU`, in place; modules that share one go on to do so."""
    there: dict[Tensor, Tensor] = {}

    def moved(tensor: Tensor) -> Tensor:
        if tensor not in there:
            fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=GPU)
            there[tensor] = nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
        return there[tensor]

    for module in (part for whole in modules for part in whole.modules()):
        kinds: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for tensors in kinds:
            for name, tensor in tensors.items():
                tensors[name] = None if tensor is None else moved(tensor)
