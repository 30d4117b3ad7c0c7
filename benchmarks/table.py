"""Prints what `--save` kept as the Markdown tables of docs/performance.md: the latest result of each row and device.

python benchmarks/table.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from common import RESULTS, ratio

Line = dict[str, Any]


def main() -> None:
    """Print a table for each benchmark on each machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    latest: dict[tuple[str, ...], Line] = {}
    for path in sorted(RESULTS.glob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                line = json.loads(text)
            except ValueError:
                parser.error(f"{path}, line {number}: it is no whole JSON, so take it out")
            machine = f"{line['device']}, {line['processor']}, torch {line['torch']}"
            what = line.get("contestant") or line.get("precision", "")
            latest[machine, line["benchmark"], line["row"], what] = line
    told: tuple[str, ...] = ()
    for (machine, benchmark, row, _), line in sorted(latest.items()):
        title, write = TABLES[benchmark]
        if told != (machine, benchmark):
            heads = title.split("|")
            print(f"\n{machine}\n\n|{title}|\n{'|---' * len(heads)}|")
            told = machine, benchmark
        for cells in write(line):
            print(f"| `{row}` | {' | '.join(cells)} |")


def of_step(line: Line) -> Iterator[tuple[str, ...]]:
    """A line a contestant: seconds and how often it takes those of ours in fp32 and bf16."""
    seconds = line["seconds"]
    for name, median in line["median"].items():
        ratios = (
            ratio(seconds[name], seconds[ours]) if ours in seconds else None for ours in ("ours-fp32", "ours-bf16")
        )
        yield name, f"{median:.3f}", *("" if found is None else f"{found:.2f}" for found in ratios)


def of_memory(line: Line) -> Iterator[tuple[str, ...]]:
    """A line a contestant: GiB, and their ratio to the plain step's in fp32."""
    sizes = {name: list(peak.values()) for name, peak in line["bytes"].items()}
    for name, peak in sizes.items():
        plain = sizes.get("plain-fp32")
        yield name, f"{peak[0] / 2**30:.2f}", f"{peak[-1] / 2**30:.2f}", f"{peak[-1] / plain[-1]:.2f}" if plain else ""


def of_ceiling(line: Line) -> Iterator[tuple[str, ...]]:
    """FLOP/s achieved and of the convolutions alone."""
    achieved, ceiling = line["achieved"], line["ceiling"]
    yield line["contestant"], f"{achieved / 1e9:.1f}", f"{ceiling / 1e9:.1f}", f"{achieved / ceiling:.0%}"


def of_overhead(line: Line) -> Iterator[tuple[str, ...]]:
    """Images/s of both, and the ratio of their times."""
    images = line["batch"] * line["n_dis"]
    rates = (f"{images / line['median'][name]:.1f}" for name in ("bare", "tool"))
    yield line["precision"], *rates, f"{ratio(line['seconds']['tool'], line['seconds']['bare']):.3f}"


def of_extractor(line: Line) -> Iterator[tuple[str, ...]]:
    """A line a contestant: images/s of everything and of the features alone, and the ratios to torch-fidelity's."""
    for name, found in line["found"].items():
        cells = (
            f"{found[f'{what} images/s']:.1f} ({found[f'{what} ratio']:.2f}x)" for what in ("wall", "features_wall")
        )
        yield name, *cells, f"{found['cpu ratio']:.2f}x"


def of_sharing(line: Line) -> Iterator[tuple[str, ...]]:
    """A line for each number of trainings at once: seconds of an iteration by threads that spin and that sleep."""
    ways = [key.split() for key in line["median"]]
    for at_once in dict.fromkeys(number for _, number in ways):
        spinning, sleeping = (line["median"][f"{way} {at_once}"] for way in ("spinning", "sleeping"))
        yield at_once, f"{spinning:.3f}", f"{sleeping:.3f}", f"{spinning / sleeping:.2f}"


TABLES = {
    "step": (" row | contestant | seconds an iteration | / ours fp32 | / ours bf16 ", of_step),
    "memory": (" row | contestant | peak, GiB | of it training | training / plain fp32 ", of_memory),
    "ceiling": (" row | contestant | GFLOP/s | its convolutions alone | achieved ", of_ceiling),
    "extractor": (
        " row | contestant | scoring, images/s | features alone, images/s | in processor time ",
        of_extractor,
    ),
    "sharing": (" row | trainings at once | seconds, spinning | seconds, sleeping | spinning / sleeping ", of_sharing),
    "overhead": (" row | precision | bare step, images/s | sngan train, images/s | time, tool / bare ", of_overhead),
}


if __name__ == "__main__":
    main()
