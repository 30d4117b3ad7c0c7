"""What the tool around the step costs: an iteration within `sngan train` against one of the bare step.

    python benchmarks/overhead.py [--rows standard-32] [--precision fp32] [--rounds 20]

`sngan train` runs in a process of its own, with its registry, records of losses, heartbeat and live display (drawn into
a file). Before each iteration it waits for its turn: while the bare step makes one here, the process is stopped
(SIGSTOP), so that nothing of it runs meanwhile. An iteration of the tool is all that happens from one such place to the
next; `around` is the part of it that is spent outside the step.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from common import Row, Settings, arguments, parsed, ratio, save, taken
from contestants import enter

from sngan_cli.app import main as sngan
from sngan_cli.engine import loop
from sngan_cli.engine.device import keep_freed_memory
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.quickest import LEAST_COMPILED, quickest

WARM_UP = 3
STEPS = LEAST_COMPILED - 1
"""More than are made; networks are not compiled, as those of the bare step are not."""
STDERR = "stderr"


def main() -> None:
    """Measure row by row."""
    parser = arguments(__doc__, rows=("standard-32",))
    parser.set_defaults(rounds=20)  # the losses are recorded every tenth step
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32")
    options, settings, rows = parsed(parser)
    keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no stopped process is to be left behind
    for row in rows:
        bare = enter(f"ours-{options.precision}", row, settings)
        if bare is None:
            parser.error(f"there is no {options.precision} on {settings.device.type}")
        times: dict[str, list[float]] = {"bare": [], "tool": [], "around": []}
        with tool(row, settings, options.precision) as its_turn:
            for turn in range(WARM_UP + options.rounds):
                taken_by = {"bare": taken(bare, settings.device), **its_turn()}
                if turn >= WARM_UP:
                    for name, seconds in taken_by.items():
                        times[name].append(seconds)
        medians = {name: statistics.median(seconds) for name, seconds in times.items()}
        images = settings.batch * settings.n_dis
        print(
            f"{row}, {options.precision}: bare step {images / medians['bare']:.1f} images/s, sngan train "
            f"{images / medians['tool']:.1f} images/s; tool / bare {ratio(times['tool'], times['bare']):.4f} (median), "
            f"{sum(times['tool']) / sum(times['bare']):.4f} (all); around the step {1000 * medians['around']:.2f} ms "
            f"(median), {1000 * statistics.mean(times['around']):.2f} ms (mean)"
        )
        save(options, settings, "overhead", row, precision=options.precision, seconds=times, median=medians)


def begins(pipe: Connection, home: Path) -> None:
    """Wait for the first iteration; where there is none, say what `sngan train` said."""
    try:
        pipe.recv()
    except EOFError:
        raise SystemExit((home / STDERR).read_text(encoding="utf-8")) from None


@contextmanager
def tool(row: Row, settings: Settings, precision: str) -> Iterator[Callable[[], dict[str, float]]]:
    """Start `sngan train`; what it yields lets it make an iteration and tells its seconds."""
    here, there = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as home:
        arguments = [
            "train", "--dataset", "shapes", "--size", str(row.side), "--arch", row.arch, "--steps", str(STEPS),
            "--batch-size", str(settings.batch), "--g-batch-size", str(settings.batch), "--n-dis", str(settings.n_dis),
            "--device", str(settings.device), "--precision", precision, "--eval-every", "0", "--checkpoint-every", "0",
            *(["--conditional"] if row.conditional else []),
        ]  # fmt: skip
        process = multiprocessing.get_context("spawn").Process(target=train, args=(there, Path(home), arguments))
        process.start()
        there.close()  # else the end of the process would not be noticed
        try:
            begins(here, Path(home))
            os.kill(process.pid, signal.SIGSTOP)

            def its_turn() -> dict[str, float]:
                os.kill(process.pid, signal.SIGCONT)
                begun = time.perf_counter()
                here.send(None)
                within = here.recv()
                seconds = time.perf_counter() - begun
                os.kill(process.pid, signal.SIGSTOP)
                return {"tool": seconds, "around": seconds - within}

            yield its_turn
        finally:
            process.kill()
            process.join()


def train(pipe: Connection, home: Path, arguments: list[str]) -> None:
    """Be `sngan train`, which asks for its turn before each iteration and tells how long the last one took within."""
    os.environ.update(SNGAN_HOME=str(home), FORCE_COLOR="1")  # a live bar, as on a terminal
    os.environ.pop("SNGAN_REGISTRY", None)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    within = 0.0

    def in_turn(gan: Gan, *given: Any, **named: Any) -> Any:
        step = quickest(gan, *given, **named)

        def iteration() -> Any:
            nonlocal within
            pipe.send(within)
            pipe.recv()
            begun = time.perf_counter()
            losses = step()
            if gan.device.type == "cuda":
                torch.cuda.synchronize(gan.device)
            within = time.perf_counter() - begun
            return losses

        return iteration

    loop.quickest = in_turn
    sys.argv = ["sngan", *arguments]
    with (home / STDERR).open("w", encoding="utf-8") as sys.stderr:
        sngan()


if __name__ == "__main__":
    main()
