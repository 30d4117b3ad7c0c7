"""How near the step comes to what the machine's convolutions allow: achieved FLOP/s over the measured ceiling.

    python benchmarks/ceiling.py [--rows resnet-preact-32] [--only ours-fp32 ours-bf16]

All convolutions that an iteration calls, forward and backward, are noted as they are called: shapes, strides in memory,
precision and which gradients are asked for. Each one is then done alone, on random tensors laid out the same, in turn
with whole iterations, and its quickest time counts. With F the floating-point operations of an iteration (torch's
`FlopCounterMode`: convolutions and matrix products), F_c those of its convolutions and t_c the sum of their quickest
times, the ceiling is F_c / t_c, what was achieved is F over the median time of an iteration, and their ratio is what
the step gets out of the machine: 1 would be a step made of nothing but convolutions, each at its best.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from common import Settings, arguments, parsed, save, taken
from contestants import Step, enter, names
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from sngan_cli.engine.device import keep_freed_memory

CONVOLUTIONS = {torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default}


class Laid(NamedTuple):
    """What a tensor is made like."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def tensor(self) -> Tensor:
        """One of random numbers."""
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=self.device).normal_()


class Convolutions(TorchDispatchMode):
    """Counts the convolutions that are called, by operator and arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple[Any, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note the call and make it."""
        if func in CONVOLUTIONS:
            self.calls[func, *(noted(value) for value in args)] += 1
        return func(*args, **(kwargs or {}))


def main() -> None:
    """Measure row by row."""
    parser = arguments(__doc__, rows=("*-32",))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names())
    options, settings, rows = parsed(parser)
    keep_freed_memory()
    # A graph that is replayed calls no operator that could be counted.
    usual = [f"{'eager' if settings.device.type == 'cuda' else 'ours'}-{precision}" for precision in ("fp32", "bf16")]
    for row in rows:
        print(row)
        for name in options.only or usual:
            step = enter(name, row, settings)
            if step is None:
                continue
            found = measured(step, settings, options.rounds)
            achieved, ceiling = found["flop"] / found["median"], found["flop_of_convolutions"] / found["convolutions"]
            print(
                f"  {name:14s} {found['flop'] / 1e9:.1f} GFLOP in {found['median']:.3f} s, {achieved / 1e9:.1f}/s: "
                f"{achieved / ceiling:.1%} of the {ceiling / 1e9:.1f}/s of its convolutions alone",
                flush=True,
            )
            save(options, settings, "ceiling", row, contestant=name, achieved=achieved, ceiling=ceiling, **found)


def measured(step: Step, settings: Settings, rounds: int) -> dict[str, float]:
    """F, F_c, the median time of an iteration and t_c, as the module's text defines them."""
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    with Convolutions() as called:
        step()
    works = {call: alone(*call) for call in called.calls}
    for work in works.values():
        work()
    times = 20 if settings.device.type == "cuda" else 1
    iterations: list[float] = []
    quickest = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        iterations.append(taken(step, settings.device))
        for call, work in works.items():
            quickest[call] = min(quickest[call], *(taken(work, settings.device, times) for _ in range(3)))
    return {
        "flop": counter.get_total_flops(),
        "flop_of_convolutions": sum(
            counter.get_flop_counts()["Global"].get(op.overloadpacket, 0) for op in CONVOLUTIONS
        ),
        "median": statistics.median(iterations),
        "convolutions": sum(quickest[call] * count for call, count in called.calls.items()),
    }


def noted(value: object) -> object:
    """An argument as it is remembered: tensors by what they are like."""
    if isinstance(value, Tensor):
        return Laid(tuple(value.shape), value.stride(), value.dtype, value.device)
    return tuple(value) if isinstance(value, list) else value


def alone(operator: Callable[..., object], *noted: object) -> Callable[[], object]:
    """The same call on tensors of its own."""
    args = [value.tensor() if isinstance(value, Laid) else value for value in noted]
    return lambda: operator(*args)


if __name__ == "__main__":
    main()
