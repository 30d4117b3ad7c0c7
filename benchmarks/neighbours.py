"""Memory and time of precision over many images: the nearest neighbours of each among all.

    python benchmarks/neighbours.py [--images 50000] [--features 2048]

Prints the peak of the process's memory beyond what it has before the first feature is made, features of generated and
real images included, and the seconds that the score takes.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from sngan_cli.contracts import Features
from sngan_plugins.metrics.precision import Precision


def peak() -> float:
    """Most memory that the process has had so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2048)
    given = parser.parse_args()
    metric, random = Precision(), torch.Generator().manual_seed(0)
    torch.cdist(torch.zeros(2, 2), torch.zeros(2, 2))
    before = peak()
    accumulator, reference = metric.accumulator(given.images), metric.reference(given.images)
    for target in (accumulator, reference):
        for _ in range(0, given.images, 100):
            features = torch.randn(100, given.features, generator=random).relu()
            target.add(Features(features, features[:, :1]))
    started = time.monotonic()
    accumulator.against(reference.result())
    value, _ = accumulator.result()
    seconds = time.monotonic() - started
    print(
        f"precision {value:.4f} of {given.images} x {given.images} images by {given.features} features, "
        f"{torch.get_num_threads()} threads: {seconds:.1f} s, {peak() - before:.2f} GiB beyond {before:.2f}"
    )


if __name__ == "__main__":
    main()
