"""A GPU that is not there: torch's fake tensors know the device of everything, and compute nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    unset_fake_temporarily,
)

from sngan_cli.conformance.promises import UncheckedError, expect
from sngan_cli.wording import first_line

GPU = torch.device("cuda", 0)


@contextmanager
def absent_gpu() -> Iterator[None]:
    """Context in which tensors can be made on `GPU`, or `put` there, whether there is one or not.

    Raises `BrokenPromiseError` where tensors of two devices meet, and `UncheckedError` where a value is asked for. Of
    gradients `torch.autograd.grad` alone can be had: they are like what they are of, as those of a penalty.
    """
    differentiated = torch.autograd.grad
    torch.autograd.grad = _gradients  # type: ignore[assignment]
    try:
        # torch warns of what it does itself with fake tensors in copies and recurrent layers
        with warnings.catch_warnings(action="ignore", category=UserWarning), FakeTensorMode(allow_non_fake_inputs=True):
            yield
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise UncheckedError(
            "the host reads a tensor's value, such as by .item(), an if or a mask: where a GPU computes it, the host "
            "waits, and a step of training cannot be one CUDA graph"
        ) from error
    except RuntimeError as error:
        said = first_line(error)
        expect(
            not any(words in said for words in ("devices", "same device")),
            f"it is given tensors on a GPU, and makes or keeps others on the CPU ({said}): make them with device=, or "
            "keep them by register_buffer",
        )
        raise UncheckedError(f"it cannot be tried without one: {said}") from error
    finally:
        torch.autograd.grad = differentiated


def put(*networks: nn.Module) -> None:
    """Put networks on `GPU` in place, as `Module.to` does: whatever holds a parameter of one then holds it there."""
    for network in networks:
        kept = [(m._parameters, name, p) for m in network.modules() for name, p in m._parameters.items()]
        network._apply(_moved)  # type: ignore[no-untyped-call]
        # Torch makes other parameters of those, where it would change their data on a real one: a copy of the network
        # has them in all places, such as the list in which a weight constraint hides the weight that it follows.
        there: dict[int, Any] = {id(b): b for b in network.buffers()}
        for parameters, name, parameter in kept:
            there[id(parameter)] = there[id(parameters[name])] = parameters[name]
        with unset_fake_temporarily():
            network.__dict__.update(deepcopy(network, there).__dict__)


def _moved(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=GPU)


def _gradients(outputs: Any, inputs: Any, grad_outputs: Any = None, *args: Any, **options: Any) -> tuple[Tensor, ...]:
    """In place of `torch.autograd.grad`, whose engine needs a real device."""
    for output, gradient in zip(_listed(outputs), _listed(grad_outputs), strict=False):
        if gradient is not None:
            torch.add(output, gradient)  # raises where they are on two devices
    return tuple(torch.zeros_like(each) for each in _listed(inputs))


def _listed(given: Any) -> Sequence[Any]:
    return (given,) if given is None or isinstance(given, Tensor) else given
