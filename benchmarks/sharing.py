"""Seconds that an iteration takes where several trainings share the processors, by how torch's threads wait.

    python benchmarks/sharing.py [--rows standard-32] [--at-once 2]

`spinning` is what torch does by itself, `sleeping` what `sngan` has it do (`sngan_cli/waiting.py`). Each training is a
process of its own; alone and together they take turns, and medians of an iteration are printed.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics

from common import Row, Settings, arguments, count, parsed, save, taken
from contestants import enter

from sngan_cli.engine.device import keep_freed_memory
from sngan_cli.waiting import SPINS, sleep_soon


def main() -> None:
    """Measure alone and together, both ways."""
    parser = arguments(__doc__, rows=("standard-32",))
    parser.add_argument("--at-once", type=count, default=2, metavar="N", help="trainings that share the processors")
    options, settings, rows = parsed(parser)
    for row in rows:
        medians = {}
        for way in ("spinning", "sleeping"):
            os.environ.pop(SPINS, None)
            if way == "sleeping":
                sleep_soon()
            for at_once in (1, options.at_once):
                each_does = [(row, settings, options.rounds)] * at_once
                with multiprocessing.get_context("spawn").Pool(at_once) as fresh:  # torch reads it as it is loaded
                    found = fresh.starmap(seconds_of, each_does, chunksize=1)
                medians[way, at_once] = statistics.median(seconds for each in found for seconds in each)
        save(options, settings, "sharing", row, median={f"{way} {at_once}": m for (way, at_once), m in medians.items()})
        print(row)
        for (way, at_once), median in medians.items():
            gain = f"   spinning / sleeping {medians['spinning', at_once] / median:.2f}" if way == "sleeping" else ""
            print(f"  {way}  {at_once} at once  {1000 * median:10.1f} ms{gain}", flush=True)


def seconds_of(row: Row, settings: Settings, rounds: int) -> list[float]:
    """Seconds of each iteration, in this process."""
    keep_freed_memory()
    step = enter("ours-fp32", row, settings)
    assert step is not None
    step()
    return [taken(step, settings.device) for _ in range(rounds)]


if __name__ == "__main__":
    main()
