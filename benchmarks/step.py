"""Seconds that an iteration takes (n_dis discriminator updates and a generator update): ours beside the others'.

    python benchmarks/step.py [--arch resnet-preact] [--side 32] [--conditional] [--rounds 5] [--json FILE]
    python benchmarks/step.py --check     # the plain step and ours train the same losses

Contestants take turns (A B C A B C ...), each with the same threads, allocator, batches and number of updates, so that
a machine whose speed drifts is unfair to none; medians of whole iterations are printed, with the ratios to ours.

- `ours`: the engine's own step, in fp32 and bf16;
- `plain`: `plain.py`, the step as one writes it first in PyTorch, in fp32 and under bf16 autocast;
- `mimicry`: torch-mimicry 0.1.16 (Lee & Town, 2020), where it is installed (`pip install --no-deps
  torch-mimicry==0.1.16`); it has the ResNet alone.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import resource
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from plain import Plain
from torch import Tensor

from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.config import Layer, recipe
from sngan_cli.engine.data import ImageStream
from sngan_cli.engine.device import describe, keep_freed_memory, resolve_device
from sngan_cli.engine.gan import Gan
from sngan_cli.engine.step import iteration

CLASSES = 10
Step = Callable[[], tuple[float, float]]
"""Makes one iteration and returns the losses of D and G."""


def ours(options: argparse.Namespace, images: np.ndarray, labels: np.ndarray, precision: str) -> Step:
    """The engine's step."""
    settings = {
        "dataset": "shapes", "size": options.side, "arch": {"name": options.arch}, "conditional": options.conditional,
        "device": str(options.device), "precision": precision, "batch_size": options.batch, "g_batch_size":
        options.batch, "n_dis": options.n_dis,
    }  # fmt: skip
    composition = compose([recipe("paper"), Layer("benchmark", settings)], Catalog.installed())
    gan = Gan.build(composition, CLASSES if options.conditional else None, options.device)
    stream = ImageStream(images, labels, device=options.device, seed=0, flip=False, dequantize=True)
    steps = iter(range(1, 10**9))

    def step() -> tuple[float, float]:
        losses = iteration(gan, stream, composition.config, next(steps))
        return losses.discriminator.item(), losses.generator.item()

    return step


def batches_of(options: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Real batches on the device, drawn at random: what everyone but us is fed with, at next to no cost."""
    everything = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(options.device)
    of_class = torch.from_numpy(labels).to(options.device)
    while True:
        index = torch.randint(len(everything), (options.batch,), device=options.device)
        x = everything[index].float()
        yield (x + torch.rand_like(x)) / 128 - 1, of_class[index]


def plain(options: argparse.Namespace, images: np.ndarray, labels: np.ndarray, precision: str) -> Step:
    """The step as one writes it first."""
    classes = CLASSES if options.conditional else None
    gan = Plain(options.arch, options.side, classes, options.device, bf16=precision == "bf16")
    batches = batches_of(options, images, labels)

    def step() -> tuple[float, float]:
        loss_d, loss_g = gan.iteration([next(batches) for _ in range(options.n_dis)], options.batch)
        return loss_d.item(), loss_g.item()

    return step


def mimicry(options: argparse.Namespace, images: np.ndarray, labels: np.ndarray, precision: str) -> Step | None:
    """torch-mimicry's networks and training steps; None where it is not installed or has no such network."""
    spec = importlib.util.find_spec("torch_mimicry")
    if spec is None or options.arch != "resnet-preact" or precision != "fp32":
        return None
    # Its package imports TensorFlow for its metrics; the networks do without.
    package = types.ModuleType("torch_mimicry")
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["torch_mimicry"] = package
    kind = "cgan_pd" if options.conditional else "sngan"
    try:
        module = importlib.import_module(f"torch_mimicry.nets.{kind}.{kind}_{options.side}")
    except ModuleNotFoundError:
        return None
    prefix, given = ("CGANPD", {"num_classes": CLASSES}) if options.conditional else ("SNGAN", {})
    net_g = getattr(module, f"{prefix}Generator{options.side}")(**given).to(options.device)
    net_d = getattr(module, f"{prefix}Discriminator{options.side}")(**given).to(options.device)
    opt_g = torch.optim.Adam(net_g.parameters(), lr=2e-4, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(net_d.parameters(), lr=2e-4, betas=(0.0, 0.9))
    batches, said = batches_of(options, images, labels), {}
    log = types.SimpleNamespace(add_metric=lambda name, value, **_: said.update({name: value}))

    def step() -> tuple[float, float]:
        for _ in range(options.n_dis):
            batch = next(batches)
            net_d.train_step(real_batch=batch, netG=net_g, optD=opt_d, log_data=log, device=options.device)
        net_g.train_step(real_batch=batch, netD=net_d, optG=opt_g, log_data=log, device=options.device)
        return float(torch.as_tensor(said["errD"]).detach()), float(torch.as_tensor(said["errG"]).detach())

    return step


def main() -> None:
    """Time everyone in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=["standard", "resnet-preact"], default="resnet-preact")
    parser.add_argument("--side", type=int, choices=[32, 48], default=32)
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--batch", type=int, default=64, help="images of each kind in every update")
    parser.add_argument("--n-dis", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=resolve_device, default="auto")
    parser.add_argument("--only", default="", help="such as ours-fp32,plain-fp32")
    parser.add_argument("--json", type=Path, help="append the result to this file, one line each")
    parser.add_argument("--check", action="store_true", help="compare losses of the plain step and ours, and stop")
    options = parser.parse_args()
    kept = keep_freed_memory()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4096, options.side, options.side, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, 4096)
    if options.check:
        check(options, images, labels)
        return
    steps: dict[str, Step] = {}
    for make, precision in ((ours, "fp32"), (plain, "fp32"), (mimicry, "fp32"), (ours, "bf16"), (plain, "bf16")):
        name = f"{make.__name__}-{precision}"
        if options.only and name not in options.only.split(","):
            continue
        torch.manual_seed(0)
        step = make(options, images, labels, precision)
        if step is not None:
            step()  # what is done once, such as choosing algorithms, does not count
            steps[name] = step
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - begun)
    report(options, seconds, kept)


def report(options: argparse.Namespace, seconds: dict[str, list[float]], kept: bool) -> None:
    """Print medians and ratios, and keep them where asked."""
    kind = "conditional" if options.conditional else "unconditional"
    print(
        f"{options.arch} {options.side} px, {kind}, batch {options.batch}, n_dis {options.n_dis}; "
        f"{describe(options.device)}, {processor()}, torch {torch.__version__}, freed memory kept: {kept}; "
        f"median of {options.rounds} iterations in turn"
    )
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        ratios = [
            f"{name} / {mine} {statistics.median(a / b for a, b in zip(seconds[name], seconds[mine], strict=True)):.2f}"
            for mine in ("ours-fp32", "ours-bf16")
            if mine in medians and not name.startswith("ours")
        ]
        print(f"{name:14s} {median:8.3f} s   {'   '.join(ratios)}")
    print(f"peak memory of the whole process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    if options.json:
        settings = {key: str(value) for key, value in vars(options).items() if key not in ("json", "check", "only")}
        line = {**settings, "processor": processor(), "torch": torch.__version__, "python": platform.python_version(),
                "threads": torch.get_num_threads(), "kept": kept, "seconds": seconds, "median": medians}  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        with options.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def check(options: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> None:
    """Print mean losses of the plain step and ours over the same number of iterations, several seeds each."""
    for name, make in (("ours", ours), ("plain", plain)):
        for seed in range(2):
            torch.manual_seed(seed)
            step = make(options, images, labels, "fp32")
            losses = np.array([step() for _ in range(options.rounds)])
            quarter = max(1, len(losses) // 4)
            parts = [losses[k : k + quarter].mean(0) for k in range(0, quarter * 4, quarter) if k < len(losses)]
            told = "  ".join(f"D {d:.3f} G {g:+.3f}" for d, g in parts)
            print(f"{name:6s} seed {seed}, mean losses by quarter: {told}", flush=True)


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
