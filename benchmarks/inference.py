"""Images/s of the Inception network alone: by arithmetic, by how channels lie in memory, and compiled.

    python benchmarks/inference.py [--batch N] [--rounds 5] [--device cpu] [--no-compile]

In each arithmetic the network whose channels lie apart, the one whose channels lie side by side, and the latter
compiled (in fp32 the former) take turns, with the same images, which are resized already. Printed are medians, the
ratios of pairs to channels that lie apart, and, of the compiled one, how long the compiler took and how many images
have to be seen before that is made up for. The weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from common import count, device, processor, ratio, taken
from extractor import random_weights
from torch import Tensor, nn

from sngan_cli.engine.device import describe, quieten_compiler, set_precision
from sngan_plugins.extractors.inception_v3 import SIDE, InceptionNetwork

LAYOUTS = {"apart": torch.contiguous_format, "side by side": torch.channels_last}


def networks(options: argparse.Namespace) -> dict[str, nn.Module]:
    """The network as the extractor has it, its batch norms folded, in either layout."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        tensors = torch.load(random_weights(Path(place) / "weights.pth"), weights_only=True)
    for name, layout in LAYOUTS.items():
        network = InceptionNetwork(dict(tensors), "", "cpu").pooled
        assert isinstance(network, nn.Module)
        found[name] = network.to(options.device).to(memory_format=layout)
    return found


def main() -> None:
    """Let everyone look at the same images in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=count, help="images at a time (16 on a CPU, 100 on a GPU)")
    parser.add_argument("--rounds", type=count, default=5, help="turns that everyone takes")
    parser.add_argument("--times", type=count, help="batches in a turn (1 on a CPU, 20 on a GPU)")
    parser.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    on_gpu = options.device.type == "cuda"
    options.batch, options.times = options.batch or (100 if on_gpu else 16), options.times or (20 if on_gpu else 1)
    quieten_compiler()
    print(f"batches of {options.batch}; {describe(options.device)}, {processor()}, torch {torch.__version__}")
    plain = networks(options)
    images = torch.randn(options.batch, 3, SIDE, SIDE, device=options.device)
    for precision in ("fp32", "tf32", "bf16") if on_gpu else ("fp32", "bf16"):
        set_precision(precision, options.device)
        contestants: dict[str, Callable[[Tensor], object]] = dict(plain)
        if options.compile:
            contestants["compiled"] = torch.compile(plain["apart" if precision == "fp32" else "side by side"])
        measure(options, precision, contestants, images)


def measure(
    options: argparse.Namespace, precision: str, contestants: dict[str, Callable[[Tensor], object]], images: Tensor
) -> None:
    """Print how fast they are in one arithmetic."""
    first, seconds = {}, {name: list[float]() for name in contestants}
    with torch.no_grad(), torch.autocast(options.device.type, torch.bfloat16, enabled=precision == "bf16"):
        for name, network in contestants.items():
            begun = time.perf_counter()
            network(images)
            first[name] = time.perf_counter() - begun
        for _ in range(options.rounds):
            for name, network in contestants.items():
                seconds[name].append(taken(partial(network, images), options.device, options.times))
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, median in medians.items():
        gain = ratio(seconds["apart"], seconds[name])
        said = f"{precision} {name:12s} {options.batch / median:8.1f} images/s ({gain:.2f} x)"
        if name == "compiled":
            saved = min(medians[layout] for layout in LAYOUTS) - median
            after = f"after {first[name] / saved * options.batch:.0f} images" if saved > 0 else "never"
            said += f"; compiling took {first[name]:.1f} s, made up for {after}"
        print(said, flush=True)


if __name__ == "__main__":
    main()
