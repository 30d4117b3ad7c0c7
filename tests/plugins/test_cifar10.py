"""CIFAR-10 from tiny files in the published layout, whose checksums stand in for the real ones."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets
from torchvision.datasets import utils

from sngan_cli.contracts import DataError
from sngan_plugins.datasets import cifar10
from sngan_plugins.datasets.cifar10 import Cifar10
from sngan_plugins.datasets.published import ArrayPictures

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def planes(number: int) -> np.ndarray:
    """One picture as published: 1024 levels of red, of green and of blue, row by row."""
    return np.random.default_rng(number).integers(0, 256, 3072, dtype=np.uint8)


def batch(folder: Path, name: str, content: dict[str, Any]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(content))
    return hashlib.md5((folder / name).read_bytes()).hexdigest()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with cifar-10-batches-py: five training batches of two pictures, and three test pictures."""
    root = tmp_path / "data"
    folder = root / "cifar-10-batches-py"
    root.mkdir()
    batches = {f"data_batch_{i + 1}": range(2 * i, 2 * i + 2) for i in range(5)} | {"test_batch": range(10, 13)}
    sums = {
        name: batch(folder, name, {"data": np.stack([planes(i) for i in numbers]), "labels": [i % 10 for i in numbers]})
        for name, numbers in batches.items()
    }
    meta = batch(folder, "batches.meta", {"label_names": list(CLASSES)})
    source = torchvision.datasets.CIFAR10
    monkeypatch.setattr(source, "train_list", [[name, sums[name]] for name in sums if name.startswith("data")])
    monkeypatch.setattr(source, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(source, "meta", source.meta | {"md5": meta})
    return root


@pytest.fixture
def archive(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with cifar-10-python.tar.gz alone."""
    path = tmp_path / "packed" / "cifar-10-python.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as packed:
        packed.add(published / "cifar-10-batches-py", "cifar-10-batches-py")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "SOURCE", replace(cifar10.SOURCE, md5=md5))
    return path.parent


def test_the_checksums_are_those_of_torchvision() -> None:
    source = torchvision.datasets.CIFAR10
    assert (cifar10.SOURCE.url, cifar10.SOURCE.archive) == (source.url, source.filename)
    assert (cifar10.SOURCE.md5, cifar10.SOURCE.folder) == (source.tgz_md5, source.base_folder)


@pytest.mark.parametrize(
    ("split", "numbers"), [("train", range(10)), ("test", range(10, 13)), ("train+test", range(13))]
)
def test_pictures_labels_and_names(published: Path, tmp_path: Path, split: Any, numbers: range) -> None:
    dataset = Cifar10(split=split)
    pictures = dataset.open(published, tmp_path / "unused")
    assert pictures.class_names == CLASSES
    assert dataset.default_side(pictures) == 32
    assert len(pictures) == len(numbers)
    for index, number in enumerate(numbers):
        pixels, label = pictures.read(index, 32)
        assert label == number % 10
        np.testing.assert_array_equal(pixels, planes(number).reshape(3, 32, 32).transpose(1, 2, 0))
    assert not (tmp_path / "unused").exists()


def test_another_side_is_resized(published: Path, tmp_path: Path) -> None:
    pixels, _ = Cifar10().open(published, tmp_path).read(0, 16)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)


def test_the_size_of_decoded_pictures_is_their_width_and_height() -> None:
    pictures = ArrayPictures("some", [np.zeros((2, 5, 9, 3), np.uint8)], np.zeros(2, np.int64), None)
    assert pictures.size(1) == (9, 5)


def test_each_split_has_an_identity_that_knows_no_place(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published, tmp_path / "copy")
    splits: tuple[Any, ...] = ("train", "test", "train+test")
    here, there = (
        [Cifar10(split=s).open(r, tmp_path).identity for s in splits] for r in (published, tmp_path / "copy")
    )
    assert here == there
    assert len(set(here)) == 3


def test_the_folder_itself_may_be_given(published: Path, tmp_path: Path) -> None:
    assert len(Cifar10().open(published / "cifar-10-batches-py", tmp_path)) == 10


@pytest.mark.parametrize("given", ["", "cifar-10-python.tar.gz"])
def test_an_archive_is_unpacked_once_to_the_downloads(
    archive: Path, tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(Cifar10().open(archive / given, tmp_path / "downloads")) == 10
    assert [path.name for path in archive.iterdir()] == ["cifar-10-python.tar.gz"]
    monkeypatch.setattr(tarfile, "open", None)
    assert len(Cifar10().open(archive / given, tmp_path / "downloads")) == 10


def test_without_a_place_it_is_downloaded_once(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = []

    def download(url: str, root: Path, filename: str, md5: str) -> None:
        assert md5 == cifar10.SOURCE.md5
        urls.append(url)
        shutil.copy(archive / filename, root / filename)

    monkeypatch.setattr(utils, "download_url", download)
    for _ in range(2):
        assert len(Cifar10().open(None, tmp_path / "downloads")) == 10
    assert urls == ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"]


@pytest.mark.parametrize("error", [URLError("no route"), RuntimeError("no route"), TimeoutError("no route")])
def test_a_failed_download_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(utils, "download_url", fail)
    with pytest.raises(DataError) as failed:
        Cifar10().open(None, tmp_path)
    place = tmp_path / "cifar-10-batches-py" / "cifar-10-python.tar.gz"
    assert str(failed.value) == (
        "CIFAR-10 could not be downloaded (no route). Download https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz "
        f"by hand to {place}, or give --data-dir the folder that you put it in."
    )


def test_an_archive_put_by_hand_where_the_message_says_is_found_if_it_is_as_published(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "downloads" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    content = (archive / "cifar-10-python.tar.gz").read_bytes()
    (place / "cifar-10-python.tar.gz").write_bytes(content + b"x")  # not as published: it is fetched anew
    monkeypatch.setattr(utils, "download_url", lambda *_: pytest.fail("downloading"))
    with pytest.raises(pytest.fail.Exception, match="downloading"):
        Cifar10().open(None, tmp_path / "downloads")
    (place / "cifar-10-python.tar.gz").write_bytes(content)
    assert len(Cifar10().open(None, tmp_path / "downloads")) == 10


def test_a_place_without_cifar(tmp_path: Path) -> None:
    expected = (
        r"CIFAR-10 is not in .*: expected there is cifar-10-batches-py/ or cifar-10-python\.tar\.gz, from https://"
    )
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match=expected):
            Cifar10().open(root, tmp_path)


def test_files_are_not_unpickled_unless_they_are_as_published(published: Path, tmp_path: Path) -> None:
    (published / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(DataError, match=r"cifar-10-batches-py are not CIFAR-10 as published: delete the folder"):
        Cifar10().open(published, tmp_path)


def test_another_archive_is_refused_even_where_cifar_is_unpacked(archive: Path, tmp_path: Path) -> None:
    assert len(Cifar10().open(archive, tmp_path / "downloads")) == 10
    (tmp_path / "pictures.zip").write_bytes(b"x")
    with pytest.raises(DataError, match=r"pictures\.zip is not CIFAR-10 as published"):
        Cifar10().open(tmp_path / "pictures.zip", tmp_path / "downloads")


def test_an_archive_that_is_not_as_published(archive: Path, tmp_path: Path) -> None:
    with (archive / "cifar-10-python.tar.gz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"tar\.gz is not CIFAR-10 as published: its MD5 is not \w{32}\. Download "):
        Cifar10().open(archive, tmp_path / "downloads")
