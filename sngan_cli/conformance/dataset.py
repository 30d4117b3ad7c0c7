"""What a data set promises: pictures of any side, the same from any thread, or words on what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sngan_cli.composition import open_data, own_side
from sngan_cli.conformance.promises import Bench, BrokenPromiseError, Promise, UncheckedError, expect
from sngan_cli.contracts import DataError, Dataset, Pictures, UnreadablePictureError

SIDE, READ = 9, 30
"""Pixels of the pictures that are read, and their number, from the first to the last."""


def names_an_extractor(dataset: Dataset, bench: Bench) -> None:
    """Raise where the extractor that scores its pictures is not installed."""
    expect(dataset.extractor in bench.extractors, f"there is no extractor {dataset.extractor!r}")


def says_what_is_missing(dataset: Dataset, bench: Bench) -> None:
    """Raise where a folder without its pictures is not refused, by name."""
    empty = bench.scratch / "without-pictures"
    empty.mkdir(exist_ok=True)
    try:
        dataset.open(empty, bench.cache / "downloads")
    except DataError as error:
        expect(empty.name in str(error), f"the folder is not named: {error}")
    else:
        raise BrokenPromiseError("an empty folder is opened, where a DataError is due")


def reads_the_same_from_any_thread(dataset: Dataset, bench: Bench) -> None:
    """Raise where pictures are of another shape or type, or differ from reading to reading."""
    pictures = _opened(dataset, bench)
    expect(len(pictures), "it has no pictures")
    expect(pictures.identity == _opened(dataset, bench).identity, "opened again, it has another identity")
    own_side(dataset, type(dataset).__name__, pictures)
    indices = _spread(pictures)
    first = [_read(pictures, index) for index in indices]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda index: _read(pictures, index), indices))
    for index, one, other in zip(indices, first, again, strict=True):
        if one is None or other is None:
            expect(one is other, f"picture {index} is broken only at times")
            continue
        expect(np.array_equal(one[0], other[0]) and one[1] == other[1], f"picture {index} differs when read again")
        what = (one[0].shape, one[0].dtype.name)
        expect(what == ((SIDE, SIDE, 3), "uint8"), f"picture {index} is {what}, not uint8 ({SIDE}, {SIDE}, 3)")


def labels_with_its_classes(dataset: Dataset, bench: Bench) -> None:
    """Raise where a label has no class, or a picture no name."""
    pictures = _opened(dataset, bench)
    classes = len(pictures.class_names or ("all",))
    for index in _spread(pictures):
        expect(pictures.name(index), f"picture {index} has no name")
        read = _read(pictures, index)
        if read is None:
            continue
        label = read[1]
        expect(
            isinstance(label, int | np.integer), f"picture {index} has the label {label!r}, which is no whole number"
        )
        expect(0 <= label < classes, f"picture {index} has the label {label} of {classes}")


def names_each_class_by_itself(dataset: Dataset, bench: Bench) -> None:
    """Raise where two classes have one name, or one has none: `--class` could not tell them apart."""
    _opened(dataset, bench)  # refused as it is where a run opens it


def _opened(dataset: Dataset, bench: Bench) -> Pictures:
    root: Path | None = bench.data_dir if dataset.needs_data_dir else None
    if dataset.needs_data_dir and root is None:
        raise UncheckedError("give its pictures with --data-dir")
    return open_data(dataset, type(dataset).__name__, root, bench.cache / "downloads")[1]


def _spread(pictures: Pictures) -> list[int]:
    """Indices of the pictures that are read, evenly spread."""
    indices: list[int] = np.linspace(0, len(pictures) - 1, min(READ, len(pictures))).round().astype(int).tolist()
    return indices


def _read(pictures: Pictures, index: int) -> tuple[np.ndarray, int] | None:
    """A picture, None where it is broken."""
    try:
        return pictures.read(index, SIDE)
    except UnreadablePictureError:
        return None


PROMISES = (
    Promise("its pictures are scored by an extractor that is installed", names_an_extractor),
    Promise(
        "a folder without its pictures is refused by name", says_what_is_missing, lambda dataset: dataset.needs_data_dir
    ),
    Promise("pictures of any side are the same from any thread", reads_the_same_from_any_thread),
    Promise("every picture has a name, and a label of its classes", labels_with_its_classes),
    Promise("no two classes have the same name, and none is empty", names_each_class_by_itself),
)
