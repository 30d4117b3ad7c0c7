"""Seconds that an iteration takes (n_dis updates of D and one of G): ours beside the others'.

    python benchmarks/step.py                                    # every row
    python benchmarks/step.py --rows resnet-preact-32 'standard-*' --rounds 5
    python benchmarks/step.py --rows standard-32 --only ours-fp32 plain-fp32
    python benchmarks/step.py --rows standard-32 --only ours-fp32 --profile

Contestants take turns (A B C A B C ...), each with the same threads, allocator, batches and number of updates, so that
a machine whose speed drifts is unfair to none. Medians of whole iterations are printed, with the ratios to ours: the
medians of those within a turn. Contestants and precisions:

- `ours`: the engine's own step, on a GPU as one CUDA graph;
- `eager`: the same kernel by kernel, on a GPU alone;
- `compiled`: the same with both networks compiled by torch, where `--only` asks for it;
- `plain`: `plain.py`, the step as one writes it first in PyTorch; bf16 is autocast;
- `mimicry`: torch-mimicry 0.1.16 (Lee & Town, 2020), where it is installed (`pip install --no-deps
  torch-mimicry==0.1.16`); it has the ResNet alone, conditional at 32 px alone, and no autocast.
"""

from __future__ import annotations

import statistics

import torch
from common import Row, Settings, arguments, parsed, ratio, save, taken
from contestants import Step, enter, names
from torch.profiler import ProfilerActivity, profile

from sngan_cli.engine.device import keep_freed_memory


def main() -> None:
    """Time everyone in turn, row by row, or say where the time goes."""
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names(), help=", ".join(names()))
    parser.add_argument("--profile", action="store_true", help="in place of timing, print where the time goes")
    options, settings, rows = parsed(parser)
    kept = keep_freed_memory()
    for row in rows:
        entered = {name: enter(name, row, settings) for name in options.only or names(settings.device)}
        steps = {name: step for name, step in entered.items() if step is not None}
        if options.only and (absent := sorted(entered.keys() - steps.keys())):
            print(f"{row}: there is no {', '.join(absent)} of these networks here")
        if not steps:
            continue
        for step in steps.values():
            step()  # what is done once, such as choosing algorithms, does not count
        if options.profile:
            for name, step in steps.items():
                print(f"{row}, {name}\n{profiled(step, settings)}")
            continue
        seconds = in_turn(steps, settings, options.rounds)
        medians = tell(row, seconds)
        save(options, settings, "step", row, kept=kept, seconds=seconds, median=medians)


def in_turn(steps: dict[str, Step], settings: Settings, rounds: int) -> dict[str, list[float]]:
    """Seconds of each iteration of everyone."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(taken(step, settings.device))
    return seconds


def tell(row: Row, seconds: dict[str, list[float]]) -> dict[str, float]:
    """Print medians and ratios; returns the medians."""
    print(row)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    mine = [name for name in medians if name.startswith("ours")]
    for name, median in medians.items():
        ratios = [f"{name} / {own} {ratio(seconds[name], seconds[own]):.2f}" for own in mine if name not in mine]
        print(f"  {name:14s} {1000 * median:10.1f} ms   {'   '.join(ratios)}".rstrip(), flush=True)
    return medians


def profiled(step: Step, settings: Settings) -> str:
    """A table of the operators of one iteration, by the time spent in each itself."""
    device = settings.device.type
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with profile(activities=activities) as found:
        step()
        if device == "cuda":
            torch.cuda.synchronize(settings.device)
    return found.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=25, max_name_column_width=40)


if __name__ == "__main__":
    main()
