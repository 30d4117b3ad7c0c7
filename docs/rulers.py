"""Measures what metrics say of pictures whose faults are known: the table of docs/scores.md.

    python docs/rulers.py ARCHIVE EXTRACTOR [--pictures 5000] [--metric ...]

ARCHIVE holds pictures in one folder a class. Its pictures are divided into two halves: one is the data, and the other
is measured against it as it is, and spoilt in several ways. Prints the table as Markdown, from the registry, where the
scores are kept: `sngan scores list` shows them beside those of runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from sngan_plugins.datasets.folder import Folder
from sngan_plugins.metrics.kid import KernelInceptionDistance

KID_SUBSET = KernelInceptionDistance().subset_size
METRICS = "is,fid,kid,precision,recall,density,coverage,intra-fid,accuracy,diversity"


def noisy(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Add normal noise with a standard deviation of 40 grey levels."""
    pixels = np.asarray(picture, dtype=np.float64)
    return Image.fromarray((pixels + random.normal(0, 40, pixels.shape)).clip(0, 255).astype(np.uint8))


def noise(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Draw uniform noise in place of the picture."""
    return Image.fromarray(random.integers(0, 256, (*picture.size[::-1], 3), dtype=np.uint8))


def blurred(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Blur by a Gaussian of 1.5 pixels."""
    return picture.filter(ImageFilter.GaussianBlur(1.5))


SPOILT: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "the other half of the data": lambda picture, random: picture,
    "blurred": blurred,
    "with noise": noisy,
    "noise alone": noise,
}


def measured(name: str, folder: Path, data: Path, given: argparse.Namespace) -> dict[str, float]:
    """Score the pictures in a folder against the data in another; returns what the registry then has under the name."""
    few = ["--set", f"metrics.kid.subset_size={given.pictures}"] if given.pictures < KID_SUBSET else []
    sngan(
        "evaluate", "--images", str(folder), "--name", name, "--against", "folder", "--data-dir", str(data),
        "--extractor", given.extractor, "--protocol", "quick", "--metric", given.metric,
        *(few if "kid" in given.metric.split(",") else []),
    )  # fmt: skip
    scores = [score for score in json.loads(sngan("scores", "list", "--json")) if score.get("pictures") == name]
    # Where the pictures were scored before, by another extractor say, the latest are those of now.
    return {score["metric"]: score["value"] for score in sorted(scores, key=lambda score: score["created"])}


def sngan(*arguments: str) -> str:
    """Run the program; returns what it prints."""
    command = [sys.executable, "-m", "sngan_cli", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def halves(
    archive: Path, pictures: int, place: Path
) -> tuple[list[tuple[str, Image.Image]], list[tuple[str, Image.Image]]]:
    """Two lists of `pictures` pictures with the names of their classes, drawn at random; notes are left in `place`."""
    opened = Folder().open(archive, place)
    assert opened.class_names is not None
    side = Folder().default_side(opened)
    order = np.random.default_rng(0).permutation(len(opened))[: 2 * pictures]
    found = []
    for index in order:
        pixels, label = opened.read(int(index), side)
        found.append((opened.class_names[label], Image.fromarray(np.asarray(pixels))))
    return found[:pictures], found[pictures:]


def variants(half: list[tuple[str, Image.Image]]) -> Iterator[tuple[str, list[tuple[str, Image.Image]]]]:
    """The half as it is and spoilt."""
    for name, spoil in SPOILT.items():
        random = np.random.default_rng(1)
        yield name, [(label, spoil(picture, random)) for label, picture in half]
    classes = sorted({label for label, _ in half})
    following = dict(zip(classes, classes[1:] + classes[:1], strict=True))
    yield "each class in place of another", [(following[label], picture) for label, picture in half]
    first = dict(reversed(half))
    yield "one picture of each class, repeated", [(label, first[label]) for label, _ in half]
    yield "one picture, repeated", [(label, half[0][1]) for label, _ in half]


def saved(folder: Path, pictures: list[tuple[str, Image.Image]]) -> Path:
    """Write pictures to one folder a class."""
    for k, (label, picture) in enumerate(pictures):
        (folder / label).mkdir(parents=True, exist_ok=True)
        picture.save(folder / label / f"{k:05}.png", compress_level=1)
    return folder


def main() -> None:
    """Spoil, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("extractor")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--metric", default=METRICS)
    given = parser.parse_args()
    names = given.metric.split(",")
    print(f"| {given.pictures} pictures | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    with tempfile.TemporaryDirectory() as place:
        data, half = halves(given.archive, given.pictures, Path(place))
        reference = saved(Path(place) / "data", data)
        for k, (name, pictures) in enumerate(variants(half)):
            called, folder = f"{given.archive.name}: {name}", saved(Path(place) / str(k), pictures)
            values = measured(called, folder, reference, given)
            print(f"| {name} | {' | '.join(f'{values[metric]:.3f}' for metric in names)} |", flush=True)


if __name__ == "__main__":
    main()
