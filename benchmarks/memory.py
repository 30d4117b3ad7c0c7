"""Peak memory of two iterations, or of `--rounds`: ours beside the others', each in a process of its own.

    python benchmarks/memory.py [--rows resnet-preact-32] [--only ours-fp32 plain-fp32]

On a CPU this is the largest resident size of the whole process, and beside it how far that lies above the size before
the networks were made (Python, torch and its libraries); on a GPU it is what torch had allocated there at most.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch
from common import Row, Settings, arguments, parsed, save
from contestants import enter, names

from sngan_cli.engine.device import keep_freed_memory


def main() -> None:
    """Measure one contestant after the other."""
    parser = arguments(__doc__, rows=("*-32",))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names(), help=", ".join(names()))
    parser.set_defaults(rounds=2)
    options, settings, rows = parsed(parser)
    for row in rows:
        peaks: dict[str, dict[str, float]] = {}
        for name in options.only or names(settings.device):
            with multiprocessing.get_context("spawn").Pool(1) as fresh:
                peak = fresh.apply(peak_of, (name, row, settings, options.rounds))
            if peak is not None:
                peaks[name] = peak
        print(row)
        mine = [name for name in peaks if name.startswith("ours")]
        for name, peak in peaks.items():
            sizes = "   ".join(f"{what} {size / 2**30:6.2f} GiB" for what, size in peak.items())
            ratios = [f"{own} / {name} {net(peaks[own]) / net(peak):.2f}" for own in mine if name not in mine]
            print(f"  {name:14s} {sizes}   {'   '.join(ratios)}".rstrip(), flush=True)
        save(options, settings, "memory", row, bytes=peaks)


def peak_of(name: str, row: Row, settings: Settings, rounds: int) -> dict[str, float] | None:
    """Bytes at the peak, in this process."""
    keep_freed_memory()
    before = resident("VmRSS")
    step = enter(name, row, settings)
    if step is None:
        return None
    for _ in range(rounds):
        step()
    if settings.device.type == "cuda":
        return {"allocated": torch.cuda.max_memory_allocated(settings.device)}
    peak = resident("VmHWM")
    return {"process": peak, "training": peak - before}


def net(peak: dict[str, float]) -> float:
    """What the contestant itself takes."""
    return list(peak.values())[-1]


def resident(what: str) -> int:
    """Bytes of this process that lie in memory now (VmRSS) or did at most (VmHWM).

    getrusage's peak will not do: it counts what the parent had when it started this process.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


if __name__ == "__main__":
    main()
