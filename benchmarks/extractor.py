"""Seconds that scoring takes (Inception features, then IS, FID, KID, precision and recall): ours beside torch-fidelity.

    python benchmarks/extractor.py [--pictures N] [--rounds 3] [--weights FILE] [--device cpu] [--save]

Contestants take turns (A B C A B C ...), each with the same pictures in memory, threads, allocator and weights, and
each loads its network anew. Both kinds of pictures are looked through. Printed are images/s, of everything and of the
features alone, medians, with the ratios of pairs to torch-fidelity in the same arithmetic (of bf16, which it has not,
to its defaults), in wall-clock time and, since a machine may be shared, in the processors' time; and how far values are
from torch-fidelity's in fp32.

- `torch-fidelity-fp32`: `torch_fidelity.calculate_metrics`; on a GPU also `torch-fidelity-tf32`, as torch's defaults
  have it there;
- `ours-fp32`, on a GPU `ours-tf32`, and `ours-bf16`: the engine's own scoring, the last under bf16 autocast.

Without --weights the network's weights are random: speed does not depend on them, but what bf16 does to scores may.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch_fidelity.metrics
from common import count, device, keep, processor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.models import inception_v3 as torchvision_inception

from sngan_cli.contracts import Features, LoadedExtractor
from sngan_cli.engine import evaluation, features
from sngan_cli.engine.device import describe, keep_freed_memory, set_precision
from sngan_cli.engine.extraction import Extraction
from sngan_cli.errors import SnganError
from sngan_plugins.extractors import inception_v3
from sngan_plugins.metrics.fid import FrechetInceptionDistance
from sngan_plugins.metrics.inception_score import InceptionScore
from sngan_plugins.metrics.kid import KernelInceptionDistance
from sngan_plugins.metrics.precision import Precision
from sngan_plugins.metrics.recall import Recall

THEIR_NAMES = {
    "is": "inception_score_mean", "fid": "frechet_inception_distance", "kid": "kernel_inception_distance_mean",
    "precision": "precision", "recall": "recall",
}  # fmt: skip


@dataclass
class Turn:
    """What a contestant took for a turn, in seconds of the wall clock and of the processors, and what it measured."""

    wall: float = 0.0
    cpu: float = 0.0
    features_wall: float = 0.0
    features_cpu: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    features: torch.Tensor | None = None
    """Ours alone: all features, in the order that they were extracted."""


@contextmanager
def timed(turn: Turn, prefix: str, device: torch.device) -> Iterator[None]:
    """Add the time that passes to a turn."""
    begun, begun_cpu = time.perf_counter(), time.process_time()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    setattr(turn, f"{prefix}wall", getattr(turn, f"{prefix}wall") + time.perf_counter() - begun)
    setattr(turn, f"{prefix}cpu", getattr(turn, f"{prefix}cpu") + time.process_time() - begun_cpu)


class InMemory(Dataset):  # type: ignore[type-arg]
    """Pictures as torch-fidelity takes them, uint8 (3, H, W), in our order: the KID's subsets depend on it."""

    def __init__(self, images: np.ndarray):
        self.images = torch.cat([batch for batch, _ in evaluation.pictures(images, None, len(images))])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def pictures(count: int, side: int, seed: int) -> np.ndarray:
    """Coloured spots under noise, (count, side, side, 3) uint8."""
    random = torch.Generator().manual_seed(seed)
    spots = torch.randn(count, 3, 4, 4, generator=random) * (1 + seed / 4)
    x = F.interpolate(spots + torch.randn(count, 3, 1, 1, generator=random) / 2, (side, side), mode="bicubic")
    x = x + 0.3 * torch.rand(count, 1, 1, 1, generator=random) * torch.randn(x.shape, generator=random)
    return ((x.tanh() + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def random_weights(path: Path) -> Path:
    """Write random weights of torch-fidelity's network, whose tensors bear torchvision's names; signals keep up."""
    torch.manual_seed(0)
    network = torchvision_inception(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    return path


def subset_size(options: argparse.Namespace) -> int:
    """Images in a subset of the KID: torch-fidelity's default, or half of them where these are few."""
    return min(1000, int(options.pictures) // 2)


def metrics(options: argparse.Namespace) -> dict[str, InceptionScore | FrechetInceptionDistance | Precision | Recall]:
    """Ours, with torch-fidelity's settings."""
    kid = KernelInceptionDistance(subsets=100, subset_size=subset_size(options))
    return {
        "is": InceptionScore(splits=1), "fid": FrechetInceptionDistance(), "kid": kid, "precision": Precision(),
        "recall": Recall(),
    }  # fmt: skip


def ours(options: argparse.Namespace, generated: np.ndarray, real: np.ndarray, precision: str) -> Turn:
    """Score by the engine."""
    set_precision(precision, options.device)
    bf16 = precision == "bf16"
    turn, device, seen = Turn(), options.device, []
    with timed(turn, "", device):
        extractor = inception_v3.InceptionV3(weights=options.weights).load(str(device), Path())

        class Watched:
            weights_sha256 = extractor.weights_sha256

            def __call__(self, images: torch.Tensor) -> Features:
                with timed(turn, "features_", device), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    found = extractor(images)
                seen.append(found.pooled.cpu())
                return found

        watched: LoadedExtractor = Watched()

        def features_of(chosen: np.ndarray) -> Iterator[Features]:
            for _, batch in features.batches(real, chosen):
                with torch.no_grad():
                    yield watched(batch)

        chosen = metrics(options)
        references = evaluation.references(
            chosen, features_of, np.zeros(len(real), dtype=np.int64), "0" * 64, conditional=False, count=len(real)
        )
        scored = list(evaluation.score(
            evaluation.pictures(generated, None, len(generated)), chosen, Extraction(watched, "inception-v3", device),
            step=0, samples=len(generated), class_names=None, real=references, settings={}, evidence={},
            progress=lambda _: True,
        ))  # fmt: skip
    turn.scores = {score.metric: score.value for score in scored}
    turn.features = torch.cat(seen)
    return turn


def theirs(options: argparse.Namespace, generated: np.ndarray, real: np.ndarray, precision: str) -> Turn:
    """Score by torch-fidelity; pictures are in memory, and no processes are started to read them."""
    set_precision(precision, options.device)
    turn, device = Turn(), options.device
    extract = torch_fidelity.metrics.extract_featuresdict_from_input_id_cached

    def watched(*arguments: object, **settings: object) -> dict[str, torch.Tensor]:
        with timed(turn, "features_", device):
            found: dict[str, torch.Tensor] = extract(*arguments, **settings)
        return found

    torch_fidelity.metrics.extract_featuresdict_from_input_id_cached = watched
    try:
        with timed(turn, "", device):
            found = torch_fidelity.calculate_metrics(
                input1=InMemory(generated), input2=InMemory(real), feature_extractor="inception-v3-compat",
                feature_extractor_weights_path=str(options.weights), isc=True, isc_splits=1, fid=True, kid=True,
                kid_subset_size=subset_size(options), prc=True, cuda=device.type == "cuda", save_cpu_ram=True,
                cache=False, verbose=False,
            )  # fmt: skip
    finally:
        torch_fidelity.metrics.extract_featuresdict_from_input_id_cached = extract
    turn.scores = {name: found[key] for name, key in THEIR_NAMES.items()}
    return turn


def main() -> None:
    """Let everyone score in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=count, help="of either kind (128 on a CPU, 10 000 on a GPU)")
    parser.add_argument("--side", type=count, default=32, help="of the pictures, in pixels")
    parser.add_argument("--rounds", type=count, default=3, help="turns that everyone takes")
    parser.add_argument("--device", type=device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--weights", type=Path, help=f"{inception_v3.WEIGHTS.file}; random ones where it is not given")
    parser.add_argument("--save", action="store_true", help="append the result to benchmarks/results/")
    options = parser.parse_args()
    options.pictures = options.pictures or (10_000 if options.device.type == "cuda" else 128)
    kept = keep_freed_memory()
    generated, real = (pictures(options.pictures, options.side, seed) for seed in (1, 0))
    if published := options.weights is not None:
        try:
            inception_v3.InceptionV3(weights=options.weights).load(str(options.device), Path())
        except SnganError as error:
            parser.error(f"argument --weights: {error}")
    contestants: dict[str, Callable[[], Turn]] = {}
    for precision in ("fp32", "tf32") if options.device.type == "cuda" else ("fp32",):
        contestants[f"torch-fidelity-{precision}"] = partial(theirs, options, generated, real, precision)
        contestants[f"ours-{precision}"] = partial(ours, options, generated, real, precision)
    contestants["ours-bf16"] = partial(ours, options, generated, real, "bf16")
    with tempfile.TemporaryDirectory() as place:
        if not published:
            options.weights = random_weights(Path(place) / "weights.pth")
            digest = hashlib.sha256(options.weights.read_bytes()).hexdigest()
            inception_v3.WEIGHTS = replace(inception_v3.WEIGHTS, sha256=digest)
        turns: dict[str, list[Turn]] = {name: [] for name in contestants}
        for _ in range(options.rounds):
            for name, score in contestants.items():
                turns[name].append(score())
                print(f"{name} took {turns[name][-1].wall:.1f} s", file=sys.stderr, flush=True)
    report(options, turns, {"kept": kept, "published weights": published})


def report(options: argparse.Namespace, turns: dict[str, list[Turn]], conditions: dict[str, bool]) -> None:
    """Print medians, ratios and distances, and keep them where asked."""
    images, first = 2 * options.pictures, next(iter(turns))
    default = turns["torch-fidelity-tf32" if options.device.type == "cuda" else "torch-fidelity-fp32"]
    told = ", ".join(f"{name}: {value}" for name, value in conditions.items())
    print(
        f"{options.pictures} pictures of either kind, {options.side} px; {describe(options.device)}, {processor()}, "
        f"torch {torch.__version__}, {told}; medians of {options.rounds} turns"
    )
    result: dict[str, dict[str, float]] = {}
    for name, taken in turns.items():
        result[name] = found = {}
        rival = turns.get(name.replace("ours", "torch-fidelity"), default)
        for clock in ("wall", "features_wall", "cpu", "features_cpu"):
            found[f"{clock} images/s"] = images / statistics.median(getattr(turn, clock) for turn in taken)
            pairs = zip(rival, taken, strict=True)
            found[f"{clock} ratio"] = statistics.median(getattr(a, clock) / getattr(b, clock) for a, b in pairs)
        print(f"{name:20s}" + "   ".join(
            f"{clock.replace('_', ', ')} {found[f'{clock} images/s']:.2f} images/s ({found[f'{clock} ratio']:.2f} x)"
            for clock in ("wall", "features_wall", "cpu", "features_cpu")
        ))  # fmt: skip
    theirs, exact = turns[first][0].scores, turns["ours-fp32"][0].features
    for name, taken in turns.items():
        apart = {metric: abs(value / theirs[metric] - 1) for metric, value in taken[0].scores.items()}
        if taken[0].features is not exact and taken[0].features is not None:
            apart["features"] = float((taken[0].features - exact).norm() / exact.norm())
        result[name] |= {f"{what} relative distance": value for what, value in apart.items()}
        if name != first:
            print(f"{name:20s}relative distance: " + "  ".join(f"{what} {value:.1e}" for what, value in apart.items()))
    print("scores by torch-fidelity: " + "  ".join(f"{metric} {value:.5g}" for metric, value in theirs.items()))
    if options.save:
        keep(
            options.device, benchmark="extractor", row=f"inception-v3, 2 x {options.pictures}",
            side=options.side, rounds=options.rounds, **conditions, scores=theirs, found=result,
        )  # fmt: skip


if __name__ == "__main__":
    main()
