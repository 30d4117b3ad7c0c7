"""How long the program takes to answer, against the imports that it cannot do without.

    python benchmarks/startup.py [RUNS]

Measures whole processes in turn (A B A B ...) and prints medians and ratios: `sngan --help` against `import typer`, and
`sngan runs list` over 1 000 recorded runs against `import sqlalchemy.orm`. Both ratios are to stay under 2.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import count

from sngan_registry import Component, Environment, NewRun, Score, Status, Store

PAIRS = {
    "sngan --help": (["-m", "sngan_cli", "--help"], "import typer"),
    "sngan runs list": (["-m", "sngan_cli", "runs", "list"], "import sqlalchemy.orm"),
    "sngan runs list --sort is": (["-m", "sngan_cli", "runs", "list", "--sort", "is"], "import sqlalchemy.orm"),
    "sngan runs list --json": (["-m", "sngan_cli", "runs", "list", "--json"], "import sqlalchemy.orm"),
}
ROLES = ("dataset", "arch_g", "arch_d", "loss", "norm", "norm_g", "extractor")


def fill(home: Path, runs: int) -> None:
    """Record finished runs with a whole configuration and five scores each."""
    environment = Environment(
        sngan="0", python="3", torch="2", cuda=None, device="cpu", host="elsewhere", pid=1, git_commit=None, command="c"
    )
    components = tuple(
        Component(role=role, name=role, distribution="sngan", version="0", options={"width": 1.0}) for role in ROLES
    )
    config = {f"setting_{k}": k for k in range(24)} | {role: {"name": role, "width": 1.0} for role in ROLES}
    with Store.open(home / "registry.db") as store:
        for k in range(runs):
            run = store.create_run(
                NewRun(config=config, components=components, environment=environment, seed=k, steps=100, name=f"r{k}")
            )
            for step in range(5):
                store.add_score(
                    run.id,
                    Score(metric="is", step=step, value=1 + (7 * k + step) % 90 / 10, std=0.1, higher_is_better=True,
                          protocol="p n=1", evidence={"generator_weights": "raw", "images": 1}),
                )  # fmt: skip
            store.close(run.id, Status.FINISHED, step=100)


def seconds(arguments: list[str]) -> float:
    """Time one process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    """Fill a registry, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=count, default=11, help="of each command (11)")
    repeats = parser.parse_args().runs
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, median of {repeats}")
    with tempfile.TemporaryDirectory() as home:
        os.environ["SNGAN_HOME"] = home
        os.environ.pop("SNGAN_REGISTRY", None)
        fill(Path(home), 1000)
        for name, (command, bare) in PAIRS.items():
            pairs = [(seconds(command), seconds(["-c", bare])) for _ in range(repeats)]
            ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"{name:26} {ours:.3f} s   {bare:22} {theirs:.3f} s   ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
