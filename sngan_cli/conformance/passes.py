"""Passes through networks and their parts that can be compared, though they draw random numbers in each."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sngan_cli.conformance.promises import expect


def seeded(network: nn.Module, *inputs: Tensor | None) -> Tensor:
    """What a network gives with the random numbers that it draws in every such pass; torch's own are left alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        output: Tensor = network(*inputs)
    return output


def learned(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that training moves, by name: not those that are frozen, such as a pretrained backbone's."""
    return ((name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad)


@torch.no_grad()
def perturb(network: nn.Module) -> None:
    """Move what is learned a little, as training does: a branch may begin with a gain of 0, a class as any other."""
    for _, parameter in learned(network):
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        parameter.add_(0.1 * fan_in**-0.5 * torch.randn_like(parameter))  # by more, a tanh may saturate


def pass_in_bf16(network: nn.Module, *inputs: Tensor | None) -> Tensor:
    """What a network gives under autocast to bfloat16; expects it, and that gradients are in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        output: Tensor = network(*inputs)
    expect(output.isfinite().all(), "what it gives is not finite")
    output.float().sum().backward()  # type: ignore[no-untyped-call]
    other = [n for n, p in learned(network) if p.grad is None or p.grad.dtype != torch.float32]
    expect(not other, f"no gradient in float32 reaches {', '.join(other)}")
    return output


def depends_on_the_batch(module: nn.Module, x: Tensor, y: Tensor | None) -> bool:
    """Whether what a module makes of the first half of a batch changes with the other half."""
    half = len(x) // 2
    beside_others = torch.cat([x[:half], torch.rand_like(x[half:])])
    # Copies: a pass may change what a module remembers.
    one, other = (seeded(deepcopy(module), each, y)[:half] for each in (x, beside_others))
    return not torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def running_statistics(network: nn.Module) -> set[str]:
    """Names of the buffers that a pass in training mode may change."""
    return {
        f"{path}.{name}" if path else name
        for path, module in network.named_modules()
        if isinstance(module, _NormBase) or getattr(module, "batch_statistics", False)
        for name, _ in module.named_buffers(recurse=False)
    }
