"""STL-10 from tiny files in the published layout. Finding and fetching are tested with CIFAR-10."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets
from torchvision.datasets import utils

from sngan_cli.contracts import DataError
from sngan_plugins.datasets import stl10
from sngan_plugins.datasets.stl10 import Stl10

LABELS = {"train": [1, 10, 3], "test": [2, 9]}


def picture(number: int) -> np.ndarray:
    """Picture (96, 96, 3) of the whole data set."""
    return np.random.default_rng(number).integers(0, 256, (96, 96, 3), dtype=np.uint8)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """stl10_binary with 3 training, 2 test and 4 unlabelled pictures: planes of colour, each column by column."""
    folder = tmp_path / "data" / "stl10_binary"
    folder.mkdir(parents=True)
    first = 0
    for split, count in (("train", 3), ("test", 2), ("unlabeled", 4)):
        monkeypatch.setitem(stl10.PICTURES, split, count)
        columns = [picture(first + i)[:, x, c].tobytes() for i in range(count) for c in range(3) for x in range(96)]
        (folder / f"{split}_X.bin").write_bytes(b"".join(columns))
        if split in LABELS:
            (folder / f"{split}_y.bin").write_bytes(bytes(LABELS[split]))
        first += count
    return folder


def test_the_checksum_and_names_are_those_published() -> None:
    source = torchvision.datasets.STL10
    assert (stl10.SOURCE.url, stl10.SOURCE.archive) == (source.url, source.filename)
    assert (stl10.SOURCE.md5, stl10.SOURCE.folder) == (source.tgz_md5, source.base_folder)
    assert stl10.PICTURES == {"train": 5000, "test": 8000, "unlabeled": 100_000}


def test_train_and_test_is_the_default(published: Path, tmp_path: Path) -> None:
    pictures = Stl10().open(published.parent, tmp_path / "unused")
    # Those of class_names.txt in the archive, in the order of their labels.
    names = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    assert pictures.class_names == names
    assert len(pictures) == 5
    for index, label in enumerate((0, 9, 2, 1, 8)):
        pixels, found = pictures.read(index, 96)
        assert found == label
        np.testing.assert_array_equal(pixels, picture(index))
    assert Stl10().default_side(pictures) == 48
    assert pictures.read(0, 48)[0].shape == (48, 48, 3)


@pytest.mark.parametrize(
    ("split", "numbers"), [("unlabeled", [5, 6, 7, 8]), ("train+unlabeled", [0, 1, 2, 5, 6, 7, 8])]
)
def test_unlabelled_pictures_have_no_classes(published: Path, tmp_path: Path, split: Any, numbers: list[int]) -> None:
    pictures = Stl10(split=split).open(published.parent, tmp_path)
    assert pictures.class_names is None
    assert len(pictures) == len(numbers)
    for index, number in enumerate(numbers):
        pixels, label = pictures.read(index, 96)
        assert label == 0
        np.testing.assert_array_equal(pixels, picture(number))


def test_identity_follows_split_and_files(published: Path, tmp_path: Path) -> None:
    def identities() -> list[str]:
        splits: tuple[Any, ...] = ("train+test", "unlabeled", "train+unlabeled")
        return [Stl10(split=split).open(published, tmp_path).identity for split in splits]

    before = identities()
    assert len(set(before)) == 3
    os.utime(published / "train_y.bin", ns=(1, 1))
    after = identities()
    assert before[0] != after[0]
    assert before[1:] == after[1:]
    os.utime(published / "train_y.bin", ns=(1, 1))  # an edit that keeps the time of the last one
    assert identities()[0] != after[0]


@pytest.mark.parametrize("name", ["train_X.bin", "test_y.bin"])
def test_a_missing_file_is_named(published: Path, tmp_path: Path, name: str) -> None:
    (published / name).unlink()
    expected = rf"stl10_binary/{name} is missing\. Delete the folder, and unpack stl10_binary\.tar\.gz from http://ai\."
    with pytest.raises(DataError, match=expected):
        Stl10().open(published, tmp_path)


@pytest.mark.parametrize(("name", "size", "right"), [("train_X.bin", 27648, 82944), ("test_y.bin", 1, 2)])
def test_a_truncated_file_is_named_with_its_size(
    published: Path, tmp_path: Path, name: str, size: int, right: int
) -> None:
    (published / name).write_bytes((published / name).read_bytes()[:size])
    with pytest.raises(DataError, match=rf"{name} is damaged: it has {size} bytes instead of {right}\. Delete"):
        Stl10().open(published, tmp_path)


@pytest.mark.parametrize("label", [0, 11])
def test_a_label_out_of_range(published: Path, tmp_path: Path, label: int) -> None:
    (published / "test_y.bin").write_bytes(bytes([1, label]))
    with pytest.raises(DataError, match=r"test_y\.bin is damaged: it holds labels out of 1 to 10\. Delete"):
        Stl10().open(published, tmp_path)


def test_a_failed_download_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(utils, "download_url", fail)
    with pytest.raises(DataError) as failed:
        Stl10().open(None, tmp_path)
    place = tmp_path / "stl10_binary" / "stl10_binary.tar.gz"
    assert str(failed.value) == (
        "STL-10 could not be downloaded (no route). Download http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz "
        f"by hand to {place}, or give --data-dir the folder that you put it in."
    )
