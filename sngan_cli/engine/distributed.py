"""Several processes that train one run: each takes its share of every batch, and gradients are averaged.

A batch is drawn from the run's one stream of random numbers by every process alike, and each keeps its share of it. So
all of them together do what one process would, and differ from it by rounding alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sngan_cli.errors import LostProcessError
from sngan_cli.wording import first_line


@dataclass(frozen=True)
class World:
    """The processes that train a run together, as one of them sees it; by default it is alone."""

    device: torch.device
    rank: int = 0
    size: int = 1
    control: dist.ProcessGroup | None = None
    """Group for what is agreed on the CPU, so that asking for a signal never waits for a GPU; None where alone."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that records, scores and saves."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which images of a batch are this process's: every `size`-th, so that part of a batch is shared evenly too."""
        return slice(self.rank, None, self.size)

    def average_gradients(self, network: nn.Module) -> None:
        """Replace the gradients of a network by their means over all processes."""
        self.average([p.grad for p in network.parameters() if p.grad is not None])

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors on the device by their means over all processes, in one all-reduce."""
        if self.size == 1:
            return
        flat = _flat(tensors)
        with collective():
            dist.all_reduce(flat)
        _unflatten(flat / self.size, tensors)

    @torch.no_grad()
    def spread(self, network: nn.Module) -> None:
        """Replace the parameters and buffers of a network by the leader's."""
        if self.size == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in network.state_dict().values():
            by_type.setdefault(tensor.dtype, []).append(tensor)
        for tensors in by_type.values():
            flat = _flat(tensors)
            with collective():
                dist.broadcast(flat, 0)
            _unflatten(flat, tensors)

    def any(self, flag: bool) -> bool:
        """Whether any process says yes. All wait for one another here, for as long as it takes."""
        if self.size == 1:
            return flag
        vote = torch.tensor([flag], dtype=torch.int32)
        with collective():
            dist.all_reduce(vote, dist.ReduceOp.MAX, group=self.control)
        return bool(vote)

    def broadcast(self, value: Any) -> Any:
        """The leader's value, in all processes."""
        if self.size == 1:
            return value
        values = [value]
        with collective():
            dist.broadcast_object_list(values, 0, group=self.control)
        return values[0]

    def gather(self, tensor: Tensor) -> Tensor:
        """Lay the 1-D tensors of all processes, on the CPU and of one length, end to end."""
        if self.size == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with collective():
            dist.all_gather(parts, tensor, group=self.control)
        return torch.cat(parts)

    def part(self, gathered: Tensor) -> Tensor:
        """This process's part of what `gather` returned."""
        return gathered.chunk(self.size)[self.rank].clone()  # torch takes random states from where a storage begins


class SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the whole batch, every process's share of it: the same on CPUs and GPUs.

    (torch.nn.SyncBatchNorm knows GPUs only.) Shares are of one size. Their means and variances are gathered, and put
    together: mean = E[mean_r] and var = E[var_r] + Var[mean_r].
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...) by channel; in evaluation mode by the running statistics, without the others."""
        if not self.training:
            return super().forward(input)
        h = input.to(torch.promote_types(input.dtype, torch.float32))
        own = torch.stack(torch.var_mean(h, [d for d in range(h.dim()) if d != 1], correction=0))
        variances, means = _of_all(own).unbind(1)
        mean, var = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        self._remember(mean.detach(), var.detach(), images=len(means) * h.numel() // h.shape[1])
        by_channel = (-1, *[1] * (h.dim() - 2))
        normalised = (h - mean.view(by_channel)) * torch.rsqrt(var + self.eps).view(by_channel)
        if self.affine:
            normalised = torch.addcmul(self.bias.view(by_channel), normalised, self.weight.view(by_channel))
        return normalised.to(input.dtype)

    def _remember(self, mean: Tensor, var: Tensor, images: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        rate = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(var * (images / max(1, images - 1)), rate)

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any, as the batch norm that this one was has done it."""


def synchronise(network: nn.Module) -> None:
    """Let torch's batch norms in a network normalise over all shares of the batch; subclasses stay as they are."""
    for module in network.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = SyncedBatchNorm  # parameters, buffers and names stay, as with torch's lazy modules


@contextmanager
def collective() -> Iterator[None]:
    """Context of what processes do together; raises `LostProcessError` where that fails, as one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        unreached = f", or its GPU cannot be reached ({first_line(error)})" if "NCCL" in str(error) else ""
        raise LostProcessError(
            f"Another process that trains this run has ended unexpectedly{unreached}; what it said itself, if "
            "anything, stands above."
        ) from error


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _unflatten(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [part.view(t.shape) for t, part in zip(tensors, parts, strict=True)])


class _Sum(torch.autograd.Function):
    """Sum of a tensor over all processes. It is its own adjoint, so that gradients of any order flow back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        with collective():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return cast("Tensor", _Sum.apply(gradient))


def _of_all(tensor: Tensor) -> Tensor:
    """Stack the tensors of all processes, of one shape, so that gradients flow back to each."""
    rank, size = dist.get_rank(), dist.get_world_size()
    slots = [tensor if r == rank else torch.zeros_like(tensor) for r in range(size)]
    return cast("Tensor", _Sum.apply(torch.stack(slots)))
