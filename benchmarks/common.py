"""What the benchmarks of training share: the rows that are measured, the flags, and where results are kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch

from sngan_cli.engine.device import describe, resolve_device
from sngan_cli.errors import UsageError

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """A network that is trained: `resnet-preact-32`, or `standard-48-conditional`."""

    arch: str
    side: int
    conditional: bool

    def __str__(self) -> str:
        return f"{self.arch}-{self.side}{'-conditional' if self.conditional else ''}"

    @property
    def classes(self) -> int | None:
        """Classes that the networks are conditioned on."""
        return 10 if self.conditional else None


ROWS = tuple(Row(*row) for row in product(("resnet-preact", "standard"), (32, 48), (False, True)))


@dataclass(frozen=True)
class Settings:
    """How every contestant is run: so many real, and so many generated, images in each of n_dis updates of D."""

    batch: int
    n_dis: int
    device: torch.device


def arguments(about: str, rows: Sequence[str] = ("*",)) -> argparse.ArgumentParser:
    """The flags that all have; `rows` are the patterns of the rows measured by default."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=rows, metavar="PATTERN", help=", ".join(map(str, ROWS)))
    parser.add_argument("--rounds", type=count, help="turns that everyone takes (3 on a CPU, 20 on a GPU)")
    parser.add_argument("--batch", type=count, default=64, help="images of each kind in every update")
    parser.add_argument("--n-dis", type=count, default=5, help="updates of D in an iteration")
    parser.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--save", action="store_true", help=f"append results to {RESULTS.name}/cpu.jsonl or cuda.jsonl")
    return parser


def count(text: str) -> int:
    """A number of 1 or more on the command line."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def device(name: str) -> torch.device:
    """A device on the command line that is there."""
    try:
        return resolve_device(name)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parsed(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Settings, list[Row]]:
    """The command line, how to run, and the rows that it asks for."""
    options = parser.parse_args()
    rows = [row for row in ROWS if any(fnmatch(str(row), pattern) for pattern in options.rows)]
    if not rows:
        parser.error(f"no row is called {' or '.join(options.rows)}: there are {', '.join(map(str, ROWS))}")
    options.rounds = options.rounds or (20 if options.device.type == "cuda" else 3)
    settings = Settings(options.batch, options.n_dis, options.device)
    print(
        f"{describe(settings.device)}, {processor()}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}; "
        f"batch {settings.batch}, n_dis {settings.n_dis}, rounds {options.rounds}",
        flush=True,
    )
    return options, settings, rows


def save(options: argparse.Namespace, settings: Settings, benchmark: str, row: Row, **found: Any) -> None:
    """Append what was found, with the settings and the machine that it was found on, where `--save` asks for it."""
    if options.save:
        keep(
            settings.device, benchmark=benchmark, row=str(row), batch=settings.batch, n_dis=settings.n_dis,
            rounds=options.rounds, **found,
        )  # fmt: skip


def keep(device: torch.device, **found: Any) -> None:
    """Append what was found, and the machine that it was found on, to the results of this type of device."""
    line = {
        **found, "device": describe(device), "processor": processor(), "threads": torch.get_num_threads(),
        "torch": torch.__version__, "cuda": torch.version.cuda, "sngan": version("sngan"),
        "python": platform.python_version(), "system": platform.platform(), "load": os.getloadavg()[0],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{device.type}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def taken(work: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """Seconds that doing this so many times takes, until the device is done."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - begun) / times


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Median of the ratios of what was measured in the same turn."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
