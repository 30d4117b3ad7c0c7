"""Data sets of the article and others, from tiny archives in the published layouts."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torchvision.datasets
from PIL import Image
from torchvision.datasets import utils

from sngan_cli.contracts import DataError, Pictures
from sngan_plugins.datasets import cifar100, flowers102, svhn
from sngan_plugins.datasets.animeface import AnimeFace
from sngan_plugins.datasets.celeba import CelebA
from sngan_plugins.datasets.cifar100 import Cifar100
from sngan_plugins.datasets.flowers102 import Flowers102
from sngan_plugins.datasets.folder import Folder
from sngan_plugins.datasets.svhn import Svhn

Pack = Callable[[dict[str, bytes]], Path]


def picture(level: int, form: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(buffer, form)
    return buffer.getvalue()


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture(params=["folder", "zip", "tar", "tgz"])
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Pack:
    """Puts files into a folder or an archive, and says where that is."""
    writers: dict[str, Pack] = {
        "folder": lambda files: write_folder(tmp_path / "data", files),
        "zip": lambda files: write_zip(tmp_path / "data.zip", files),
        "tar": lambda files: write_tar(tmp_path / "data.tar", files, "w"),
        "tgz": lambda files: write_tar(tmp_path / "data.tgz", files),
    }
    return writers[request.param]


def levels(pictures: Pictures, side: int = 4) -> list[tuple[str, int, int]]:
    """File name, grey level and label of every picture."""
    found = []
    for index in range(len(pictures)):
        pixels, label = pictures.read(index, side)
        assert pixels.shape == (side, side, 3)
        found.append((pictures.name(index).rpartition("/")[2], int(pixels[0, 0, 0]), label))
    return found


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(utils, "_urlretrieve", refuse)


# Archives ------------------------------------------------------------------------------------------------------------


def test_a_folder_of_ones_own_may_be_packed_in_any_way(pack: Pack, tmp_path: Path) -> None:
    pictures = Folder().open(pack({"a/cat/1.png": picture(10), "a/dog/2.png": picture(20)}), tmp_path / "cache")
    assert pictures.class_names == ("cat", "dog")
    assert levels(pictures) == [("1.png", 10, 0), ("2.png", 20, 1)]


def test_a_tar_archive_is_unpacked_once(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "data.tar.gz", {"cat/1.png": picture(10), "dog/1.png": picture(20)})
    first = Folder().open(path, tmp_path / "cache")
    (unpacked,) = (tmp_path / "cache").glob("data.tar.gz-*")
    (unpacked / "cat" / "1.png").touch()
    assert len(Folder().open(path, tmp_path / "cache")) == len(first) == 2
    assert list((tmp_path / "cache").glob("data.tar.gz-*")) == [unpacked]
    write_tar(path, {"cat/1.png": picture(10), "dog/1.png": picture(20), "dog/2.png": picture(30)})
    assert len(Folder().open(path, tmp_path / "cache")) == 3


def test_a_tar_archive_that_is_changed_under_its_size_and_time_is_unpacked_again(tmp_path: Path) -> None:
    for level in (10, 20):
        path = write_tar(tmp_path / "data.tar", {"1.png": picture(level)}, "w")
        os.utime(path, ns=(1, 1))
        assert levels(Folder().open(path, tmp_path / "cache")) == [("1.png", level, 0)]


@pytest.mark.parametrize("name", ["../out.png", "/abs/out.png"])
def test_a_tar_archive_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = write_tar(tmp_path / "evil.tar", {"cat/1.png": picture(1), name: picture(2)}, "w")
    if name.startswith("/"):  # taken as a path inside, as tar does
        assert len(Folder().open(path, tmp_path / "cache")) == 2
        return
    with pytest.raises(DataError, match=r"evil\.tar is refused: '\.\./out\.png' would be extracted"):
        Folder().open(path, tmp_path / "cache")
    assert not (tmp_path / "out.png").exists()
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("target", ["/etc", "../.."])
def test_a_tar_archive_with_a_link_out_of_its_folder_is_refused(tmp_path: Path, target: str) -> None:
    path = write_tar(tmp_path / "evil.tar", {"cat/1.png": picture(1)}, "w")
    with tarfile.open(path, "a") as archive:
        entry = tarfile.TarInfo("cat/more")
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        archive.addfile(entry)
    with pytest.raises(DataError, match=r"evil\.tar is refused: 'cat/more' (is a link to|would link to)"):
        Folder().open(path, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_truncated_tar_archive_is_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0).bytes(100_000)
    path = write_tar(tmp_path / "cut.tgz", {"cat/1.png": random})
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(DataError, match=r"cut\.tgz cannot be unpacked"):
        Folder().open(path, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


# AnimeFace -----------------------------------------------------------------------------------------------------------

ANIMEFACE = {
    "animeface-character-dataset/README.ja": b"...",
    "__MACOSX/thumb/000_hatsune_miku/._face_1.png": b"...",
    "animeface-character-dataset/thumb/000_hatsune_miku/._face_1.png": b"...",
    "animeface-character-dataset/tools/x.png": picture(99),
    "animeface-character-dataset/thumb/997_ana_coppola/face_1.png": picture(40),
    "animeface-character-dataset/thumb/000_hatsune_miku/face_2.png": picture(20),
    "animeface-character-dataset/thumb/000_hatsune_miku/face_1.png": picture(10),
    "animeface-character-dataset/thumb/000_hatsune_miku/color.csv": b"1,2,3",
    "animeface-character-dataset/thumb/000_hatsune_miku/ignore": b"",
    "animeface-character-dataset/thumb/002_suzumiya_haruhi/face_1.png": picture(30),
}


def test_animeface_has_a_class_a_character(pack: Pack, tmp_path: Path) -> None:
    dataset = AnimeFace()
    pictures = dataset.open(pack(ANIMEFACE), tmp_path / "cache")
    assert pictures.class_names == ("hatsune_miku", "suzumiya_haruhi", "ana_coppola")
    assert levels(pictures) == [
        ("face_1.png", 10, 0),
        ("face_2.png", 20, 0),
        ("face_1.png", 30, 1),
        ("face_1.png", 40, 2),
    ]
    assert dataset.default_side(pictures) == 96


def test_animeface_has_its_characters_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"10_rin/1.png": picture(10), "9_miku/1.png": picture(20)})
    pictures = AnimeFace().open(root, tmp_path / "cache")
    assert pictures.class_names == ("miku", "rin")
    assert levels(pictures) == [("1.png", 10, 1), ("1.png", 20, 0)]


def test_as_many_pictures_may_be_broken_as_is_said(flowers: Path, tmp_path: Path) -> None:
    faces = write_zip(tmp_path / "faces.zip", ANIMEFACE)
    for kind, root in ((AnimeFace, faces), (CelebA, faces), (Flowers102, write_folder(flowers, JPEGS))):
        found = [kind.model_validate(options).open(root, tmp_path) for options in ({}, {"max_unreadable": 3})]
        assert [pictures.max_unreadable for pictures in found] == [10, 3]


def test_one_archive_read_as_two_data_sets_is_two(tmp_path: Path) -> None:
    """What is decoded of it is kept by its identity, with other labels for each."""
    faces = write_zip(tmp_path / "faces.zip", {"thumb/0_a/1.png": picture(1), "thumb/1_b/1.png": picture(2)})
    assert len({kind().open(faces, tmp_path).identity for kind in (AnimeFace, CelebA, Folder)}) == 3


def test_animeface_is_found_beside_its_archive(tmp_path: Path) -> None:
    write_zip(tmp_path / "animeface-character-dataset.zip", ANIMEFACE)
    assert len(AnimeFace().open(tmp_path, tmp_path / "cache")) == 4


def test_animeface_in_another_layout(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", {"miku/1.png": picture(1), "rin/1.png": picture(2)})
    with pytest.raises(
        DataError, match=r"expected is one folder a character, named NUMBER_NAME .* found is miku/, miku/1"
    ):
        AnimeFace().open(root, tmp_path)


def test_animeface_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    with pytest.raises(DataError, match=r"could not be downloaded .* by hand to .*/animeface-character-dataset\.zip"):
        AnimeFace().open(None, tmp_path)


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(url: str, filename: str) -> None:
        Path(filename).write_bytes(b"PK")
        raise URLError("no route")

    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", break_off)
    for _ in range(2):
        with pytest.raises(DataError, match=r"could not be downloaded \(no route\)"):
            AnimeFace().open(None, tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


# Flowers -------------------------------------------------------------------------------------------------------------

JPEGS = {f"jpg/image_{number:05d}.jpg": picture(40 * number, "JPEG") for number in range(1, 6)}


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Labels and splits of five pictures, beside which the pictures are to be put."""
    root = tmp_path / "flowers"
    root.mkdir()
    scipy.io.savemat(root / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 1, 5]], dtype=np.uint8)})
    splits = {"trnid": [[2, 5]], "valid": [[1]], "tstid": [[4, 3]]}
    scipy.io.savemat(root / "setid.mat", {name: np.array(ids, dtype=np.uint16) for name, ids in splits.items()})
    return root


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("split", "numbers"), [("all", [1, 2, 3, 4, 5]), ("train", [2, 5]), ("val", [1]), ("test", [3, 4])]
)
def test_flowers(flowers: Path, tmp_path: Path, packed: bool, split: str, numbers: list[int]) -> None:
    if packed:
        write_tar(flowers / "102flowers.tgz", JPEGS)
    else:
        write_folder(flowers, JPEGS)
    dataset = Flowers102.model_validate({"split": split})
    pictures = dataset.open(flowers, tmp_path / "cache")
    labels = {1: 76, 2: 0, 3: 101, 4: 0, 5: 4}
    assert levels(pictures, 8) == [(f"image_{n:05d}.jpg", 40 * n, labels[n]) for n in numbers]
    assert pictures.class_names is not None
    assert (len(pictures.class_names), pictures.class_names[0], pictures.class_names[101]) == (
        102, "pink primrose", "blackberry lily",
    )  # fmt: skip
    assert dataset.default_side(pictures) == 96


def test_flowers_from_the_archive_itself(flowers: Path, tmp_path: Path) -> None:
    assert len(Flowers102().open(write_tar(flowers / "102flowers.tgz", JPEGS), tmp_path / "cache")) == 5
    assert len(Flowers102().open(write_zip(flowers / "other.zip", JPEGS), tmp_path / "cache")) == 5
    assert len(Flowers102().open(write_folder(flowers, JPEGS) / "jpg", tmp_path / "cache")) == 5


def test_flowers_that_lack_something(flowers: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected are pictures named image_00001\.jpg .* found is imagelabels\.mat"):
        Flowers102().open(flowers, tmp_path)
    write_folder(flowers, {name: content for name, content in JPEGS.items() if "00003" not in name})
    with pytest.raises(DataError, match=r"lacks 1 of the 5 pictures that setid\.mat names, such as image_00003\.jpg"):
        Flowers102().open(flowers, tmp_path)
    write_folder(flowers, JPEGS)
    scipy.io.savemat(flowers / "imagelabels.mat", {"labels": np.arange(1, 5)})
    with pytest.raises(DataError, match=r"lacks 1 of the 5 pictures that setid\.mat names, such as image_00005\.jpg"):
        Flowers102().open(flowers, tmp_path)
    scipy.io.savemat(flowers / "setid.mat", {"labels": np.ones(5)})
    with pytest.raises(DataError, match=r"setid\.mat is not Oxford .* it has no 'trnid'\. Download https://"):
        Flowers102().open(flowers, tmp_path)
    (flowers / "setid.mat").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"setid\.mat is damaged .* download https://"):
        Flowers102().open(flowers, tmp_path)
    scipy.io.savemat(flowers / "imagelabels.mat", {"labels": np.arange(5)})
    with pytest.raises(DataError, match=r"imagelabels\.mat is damaged: it holds labels out of 1 to 102\. Download"):
        Flowers102().open(flowers, tmp_path)
    (flowers / "imagelabels.mat").unlink()
    with pytest.raises(DataError, match=r"needs imagelabels\.mat in .*/flowers: download https://.*/imagelabels\.mat"):
        Flowers102().open(flowers, tmp_path)


def test_flowers_follow_torchvision() -> None:
    published = dict(torchvision.datasets.Flowers102._file_dict.values())
    assert published == flowers102.MD5
    assert f"{flowers102.URL}/" == torchvision.datasets.Flowers102._download_url_prefix


# CIFAR-100, SVHN, CelebA ---------------------------------------------------------------------------------------------


def test_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    planes = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
    contents = {
        "train": {"data": planes[:2], "fine_labels": [7, 99]},
        "test": {"data": planes[2:], "fine_labels": [0]},
        "meta": {"fine_label_names": [f"kind {k}" for k in range(100)]},
    }
    sums = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    source = torchvision.datasets.CIFAR100
    monkeypatch.setattr(source, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(source, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(source, "meta", source.meta | {"md5": sums["meta"]})
    assert len(Cifar100().open(tmp_path, tmp_path / "unused")) == 2
    pictures = Cifar100(split="train+test").open(tmp_path, tmp_path / "unused")
    assert pictures.class_names == tuple(f"kind {k}" for k in range(100))
    assert Cifar100().default_side(pictures) == 32
    assert [pictures.read(k, 32)[1] for k in range(3)] == [7, 99, 0]
    np.testing.assert_array_equal(pictures.read(2, 32)[0], planes[2].reshape(3, 32, 32).transpose(1, 2, 0))
    assert (cifar100.SOURCE.url, cifar100.SOURCE.archive) == (source.url, source.filename)
    assert (cifar100.SOURCE.md5, cifar100.SOURCE.folder) == (source.tgz_md5, source.base_folder)


def test_svhn(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 3), dtype=np.uint8)
    scipy.io.savemat(tmp_path / "train_32x32.mat", {"X": pixels[..., :2], "y": np.array([[10], [3]])})
    scipy.io.savemat(tmp_path / "extra_32x32.mat", {"X": pixels[..., 2:], "y": np.array([[9]])})
    assert len(Svhn().open(tmp_path, tmp_path / "unused")) == 2
    pictures = Svhn(split="train+extra").open(tmp_path, tmp_path / "unused")
    assert Svhn().default_side(pictures) == 32
    assert [pictures.read(k, 32)[1] for k in range(3)] == [0, 3, 9]
    np.testing.assert_array_equal(pictures.read(1, 32)[0], pixels[..., 1])
    assert pictures.class_names == tuple("0123456789")
    with pytest.raises(DataError, match=r"SVHN needs test_32x32\.mat in .*: download http://"):
        Svhn(split="test").open(tmp_path, tmp_path)
    scipy.io.savemat(tmp_path / "test_32x32.mat", {"X": pixels[..., :2], "y": np.array([[10], [3]])})
    first = Svhn(split="test").open(tmp_path / "test_32x32.mat", tmp_path)
    assert [first.read(k, 32)[1] for k in range(2)] == [0, 3]
    scipy.io.savemat(tmp_path / "test_32x32.mat", {"X": pixels[..., 1:], "y": np.array([[10], [3]])})
    second = Svhn(split="test").open(tmp_path, tmp_path)
    scipy.io.savemat(tmp_path / "test_32x32.mat", {"X": pixels[..., 1:], "y": np.array([[10], [4]])})
    assert len({first.identity, second.identity, Svhn(split="test").open(tmp_path, tmp_path).identity}) == 3
    for other in (
        {"z": np.zeros(3)},
        {"X": pixels, "y": np.array([[10], [3]])},
        {"X": pixels[..., :2].transpose(3, 0, 1, 2), "y": np.array([[10], [3]])},
        {"X": pixels[..., :2] / 255, "y": np.array([[10], [3]])},
        {"X": pixels[..., :2], "y": np.array([[0], [3]])},
    ):
        scipy.io.savemat(tmp_path / "test_32x32.mat", other)
        with pytest.raises(DataError, match=r"test_32x32\.mat is not SVHN as published"):
            Svhn(split="test").open(tmp_path, tmp_path)
    published = {name: md5 for _, name, md5 in torchvision.datasets.SVHN.split_list.values()}
    assert published == svhn.MD5


def test_svhn_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    with pytest.raises(DataError, match=r"SVHN could not be downloaded .* by hand to .*/svhn/train_32x32\.mat"):
        Svhn().open(None, tmp_path)


@pytest.mark.parametrize("given", ["", "img_align_celeba.zip", "img_align_celeba"])
def test_celeba_is_unlabelled(tmp_path: Path, given: str) -> None:
    files = {f"img_align_celeba/00000{k}.jpg": picture(50 * k, "JPEG", (10, 14)) for k in (1, 2)}
    if given == "img_align_celeba":
        write_folder(tmp_path, files)
    else:
        write_zip(tmp_path / "img_align_celeba.zip", files)
    pictures = CelebA().open(tmp_path / given, tmp_path / "cache")
    assert pictures.class_names is None
    assert levels(pictures) == [("000001.jpg", 50, 0), ("000002.jpg", 100, 0)]
    assert CelebA().default_side(pictures) == 64


def test_celeba_is_fetched_by_hand(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"download img_align_celeba\.zip from https://"):
        CelebA().open(None, tmp_path)
    with pytest.raises(DataError, match="There are no pictures"):
        CelebA().open(tmp_path, tmp_path)
