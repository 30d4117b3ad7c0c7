"""The cache of decoded pictures: what is in it, when it is made again, and every way that making it can fail."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import UnidentifiedImageError

from sngan_cli.contracts import DataError, Pictures, UnreadablePictureError
from sngan_cli.engine import cache as module
from sngan_cli.engine.cache import DecodedPictures, Stored, prepare


class Numbered(Pictures):
    """Picture i is i everywhere, of class i % 3; the given ones are broken. Counts what is read."""

    def __init__(
        self,
        count: int = 50,
        broken: Sequence[int] = (),
        allowed: int = 0,
        names: Sequence[str] | None = ("ant", "bee", "cat"),
        error: Exception | None = None,
    ):
        self.identity, self.class_names, self.max_unreadable = f"numbered {count} {list(broken)}", names, allowed
        self._count, self._broken, self._error = count, broken, error or UnreadablePictureError("torn")
        self.reads = 0

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
        self.reads += 1
        if index in self._broken:
            raise self._error
        return np.full((side, side, 3), index % 256, np.uint8), index % 3


def numbers(decoded: DecodedPictures) -> list[int]:
    """Which pictures are there; all pixels of each agree."""
    assert (decoded.images == decoded.images[:, :1, :1, :1]).all()
    return [int(image[0, 0, 0]) for image in decoded.images]


DRAWN = """
import numpy as np
from sngan_cli.contracts import Pictures


class Drawn(Pictures):
    identity, class_names, identity_covers_code = "drawn", None, {covered}

    def __len__(self):
        return 2

    def name(self, index):
        return str(index)

    def read(self, index, side):
        return np.full((side, side, 3), {grey}, np.uint8), 0
"""


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize(("covered", "second"), [(False, [2, 2]), (True, [1, 1])])
def test_pictures_of_edited_code_are_decoded_again_unless_their_identity_covers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, covered: bool, second: list[int]
) -> None:
    source, found = tmp_path / "drawn_for_the_cache.py", []
    for grey in (1, 2, 1):
        source.write_text(DRAWN.format(covered=covered, grey=grey))
        plugin = ModuleType(source.stem)
        plugin.__file__ = str(source)
        monkeypatch.setitem(sys.modules, source.stem, plugin)
        exec(source.read_text(), vars(plugin))
        found.append(numbers(prepare(plugin.Drawn(), 4, tmp_path / "cache")))
    assert found == [[1, 1], second, [1, 1]]
    assert len(list((tmp_path / "cache").iterdir())) == (1 if covered else 2)


def test_code_that_is_in_no_file_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Numbered, "__module__", "__main_of_a_prompt__")
    assert prepare(Numbered(2), 1, tmp_path).path == prepare(Numbered(2), 1, tmp_path).path


def test_pictures_are_decoded_in_order(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    decoded = prepare(Numbered(names=("a", "b", "c")), 4, tmp_path, lambda *at: told.append(at), workers=3)
    assert (decoded.images.shape, decoded.images.dtype) == ((50, 4, 4, 3), np.uint8)
    assert isinstance(decoded.images, np.memmap)
    assert numbers(decoded) == list(range(50))
    assert (decoded.labels.tolist(), decoded.labels.dtype) == ([i % 3 for i in range(50)], np.int64)
    assert (decoded.class_names, decoded.skipped) == (("a", "b", "c"), ())
    assert told == [(16, 50), (32, 50), (48, 50), (50, 50)]
    assert leftovers(tmp_path) == []
    told.clear()
    prepare(Numbered(broken=[7, 20], allowed=2), 4, tmp_path, lambda *at: told.append(at))
    assert told == [(16, 50), (32, 50), (48, 50), (50, 50)]


@pytest.mark.parametrize("count", [2, 4097])
def test_the_checksum_covers_pixels_labels_and_names(tmp_path: Path, count: int) -> None:
    decoded = prepare(Numbered(count), 1, tmp_path)
    content = f'[[{count}, 1, 1, 3], ["ant", "bee", "cat"]]'.encode()
    content += bytes(i % 256 for i in range(count) for _ in range(3))
    content += b"".join(bytes([i % 3] + [0] * 7) for i in range(count))
    assert decoded.data_sha256 == hashlib.sha256(content).hexdigest()
    assert prepare(Numbered(count, names=("a", "b", "c")), 1, tmp_path / "other").data_sha256 != decoded.data_sha256


def test_a_second_time_nothing_is_decoded(tmp_path: Path) -> None:
    first = prepare(Numbered(broken=[7], allowed=1, names="abc"), 4, tmp_path)
    again = Numbered(broken=[7], allowed=1, names="abc")
    second = prepare(again, 4, tmp_path, lambda *_: pytest.fail("nothing is decoded"))
    assert again.reads == 1  # the broken one is tried again
    assert numbers(second) == numbers(first)
    np.testing.assert_array_equal(second.labels, first.labels)
    assert (second.class_names, second.skipped, second.data_sha256, second.path) == (
        first.class_names, first.skipped, first.data_sha256, first.path,
    )  # fmt: skip


def test_another_side_or_content_is_another_cache(tmp_path: Path) -> None:
    paths = {prepare(Numbered(count), side, tmp_path).path for count, side in ((50, 4), (50, 8), (51, 4))}
    assert len(paths) == 3


def test_images_can_be_changed_in_memory_only(tmp_path: Path) -> None:
    decoded, again = prepare(Numbered(), 4, tmp_path), Numbered()
    written = (decoded.path / "images.npy").read_bytes()
    decoded.images[:] = 255
    assert numbers(prepare(again, 4, tmp_path)) == list(range(50))
    assert again.reads == 0
    assert (decoded.path / "images.npy").read_bytes() == written


@pytest.mark.parametrize("damage", ["", "{}", "[]", "no json", None])
def test_a_cache_with_a_damaged_description_is_made_again(tmp_path: Path, damage: str | None) -> None:
    described = prepare(Numbered(), 4, tmp_path).path / "meta.json"
    if damage is None:
        described.unlink()
    else:
        described.write_text(damage)
    again = Numbered()
    assert numbers(prepare(again, 4, tmp_path)) == list(range(50))
    assert again.reads == 50
    assert json.loads(described.read_text())["side"] == 4


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_truncated_cache_is_made_again(tmp_path: Path, name: str, cut: int) -> None:
    file = prepare(Numbered(), 4, tmp_path).path / name
    file.write_bytes(file.read_bytes()[:-cut] if cut else b"")
    again = Numbered()
    decoded = prepare(again, 4, tmp_path)
    assert (again.reads, numbers(decoded), len(decoded.labels)) == (50, list(range(50)), 50)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_a_large_file_that_became_longer_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is not looked at to its end, and NumPy does not mind what comes after an array."""
    monkeypatch.setattr(module, "_CHECKED", 0)
    with (prepare(Numbered(), 4, tmp_path).path / name).open("ab") as file:
        file.write(b"0")
    again = Numbered()
    assert numbers(prepare(again, 4, tmp_path)) == list(range(50))
    assert again.reads == 50


def flip_a_byte(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "at"), [("images.npy", 70), ("images.npy", 1000), ("images.npy", -1), ("labels.npy", -8)]
)
def test_a_flipped_byte_is_noticed_and_said(tmp_path: Path, name: str, at: int) -> None:
    path = prepare(Numbered(), 4, tmp_path).path
    flip_a_byte(path / name, at)
    again = Numbered()
    decoded = prepare(again, 4, tmp_path)
    assert (again.reads, numbers(decoded), decoded.labels.tolist()) == (50, list(range(50)), [i % 3 for i in range(50)])
    assert decoded.remarks == (
        f"The decoded pictures in {path} were damaged, and have been decoded anew: check the disk.",
    )
    assert prepare(Numbered(), 4, tmp_path).remarks == ()


@pytest.mark.parametrize("at", [200, 2**20 + 200, -1], ids=["first part", "second part", "last byte"])
def test_a_flipped_byte_of_a_large_file_is_noticed_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(module, "_CHECKED", 2**20)
    monkeypatch.setattr(module, "_PART", 2**20)
    side, told = 128, list[tuple[int, int]]()
    path = prepare(Numbered(), side, tmp_path).path
    flip_a_byte(path / "images.npy", at)
    whole = np.arange(50).reshape(50, 1, 1, 1)
    assert (prepare(Numbered(), side, tmp_path).images != whole).sum() == 1
    decoded = prepare(Numbered(), side, tmp_path, comparing=lambda *done: told.append(done))
    assert ((decoded.images != whole).sum(), len(decoded.remarks)) == (0, 1)
    assert told == [(0, 2), (1, 2), (2, 2), (2, 2)] * 2  # before and after it is decoded anew


class Sized(Numbered):
    """Picture i has i + 1 pixels, or nobody knows how many."""

    def size(self, index: int) -> tuple[int, int] | None:
        return (np.int32(index + 1), 60 - index) if index % 2 else None  # type: ignore[return-value]


def test_enlarged_pictures_are_told_of_whenever_they_are_opened(tmp_path: Path) -> None:
    said = "Enlarged 3 of 49 pictures to 10 px, 3.png the most, from 4 px: a smaller --size would enlarge fewer."
    for _ in range(2):
        assert prepare(Sized(broken=[1], allowed=1), 10, tmp_path).remarks == (said,)
    assert prepare(Sized(), 2, tmp_path).remarks == ()


def test_of_pictures_that_are_enlarged_alike_the_first_by_name_is_told_of() -> None:
    stored = Stored()
    stored.add([(4, 4, "b.png"), (4, 5, "a.png")], 10)
    stored.add([(4, 6, "c.png"), (5, 5, "0.png")], 10)
    said = "Enlarged 4 of 4 pictures to 10 px, a.png the most, from 4 px: a smaller --size would enlarge fewer."
    assert stored.remark(4, 10) == said


def test_how_large_pictures_were_is_known_whenever_they_are_opened(tmp_path: Path) -> None:
    for _ in range(2):
        stored = prepare(Sized(), 10, tmp_path).stored
        assert (stored.smallest, stored.largest) == (2, 30)  # of the last, 50 by 11, the shorter side is the height
        assert (stored.enlarged, stored.cut) == (4, 25)
    assert prepare(Numbered(), 4, tmp_path).stored == Stored()


def test_what_a_data_set_remarks_is_told(tmp_path: Path) -> None:
    pictures, said = Numbered(), list[str]()
    pictures.remarks = ["Half of them are upside down."]
    for _ in range(2):
        prepare(pictures, 4, tmp_path).tell(said.append)
    assert said == ["Half of them are upside down."] * 2


# Broken pictures -----------------------------------------------------------------------------------------------------


def test_broken_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    decoded = prepare(Numbered(broken=[0, 20, 49], allowed=3), 4, tmp_path)
    kept = [i for i in range(50) if i not in (0, 20, 49)]
    assert (numbers(decoded), decoded.labels.tolist()) == (kept, [i % 3 for i in kept])
    assert decoded.skipped == (("0.png", "torn"), ("20.png", "torn"), ("49.png", "torn"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "7.png"), "No such file or directory"),
        (UnidentifiedImageError("cannot identify image file\nat all"), "cannot identify image file"),
        (OSError(), "OSError"),
    ],
)
def test_a_picture_that_the_system_cannot_read_is_a_broken_one(tmp_path: Path, error: OSError, reason: str) -> None:
    decoded = prepare(Numbered(10, broken=[7], allowed=1, error=error), 4, tmp_path)
    assert decoded.skipped == (("7.png", reason),)
    assert numbers(decoded) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    with pytest.raises(DataError, match=rf"^None of 1 picture can be read, such as 0\.png: {reason}\.$"):
        prepare(Numbered(1, broken=[0], error=error), 4, tmp_path)


def test_pictures_that_can_be_read_by_now_are_no_longer_left_out(tmp_path: Path) -> None:
    pictures = Numbered(broken=[7, 20], allowed=2)
    first = prepare(pictures, 4, tmp_path)
    assert prepare(pictures, 4, tmp_path).data_sha256 == first.data_sha256
    pictures._broken = [20]
    decoded = prepare(pictures, 4, tmp_path)
    assert [name for name, _ in decoded.skipped] == ["20.png"]
    assert len(decoded.images) == 49
    assert decoded.remarks == ()


def test_broken_pictures_are_told_of_with_the_way_out(tmp_path: Path) -> None:
    said: list[str] = []
    for broken in ([], [7], [7, 9]):
        prepare(Numbered(broken=broken, allowed=3), 4, tmp_path / str(len(broken))).tell(said.append)
    assert said == [
        "Skipped 1 of 50 pictures, such as 7.png: torn. Mend it, or remove it.",
        "Skipped 2 of 50 pictures, such as 7.png: torn. Mend them, or remove them; `sngan datasets prepare` with "
        "--json names all.",
    ]


def test_the_header_has_room_for_fewer_pictures(tmp_path: Path) -> None:
    """From 100 pictures to 99 and from 10 to 9, the shape in the header becomes shorter."""
    for count in (100, 10):
        assert numbers(prepare(Numbered(count, [3], 1), 2, tmp_path)) == [i for i in range(count) if i != 3]


def test_a_class_without_a_readable_picture_keeps_its_name_and_number(tmp_path: Path) -> None:
    decoded = prepare(Numbered(6, broken=[1, 4], allowed=2, names=("a", "b", "c")), 4, tmp_path)
    assert (decoded.class_names, decoded.labels.tolist()) == (("a", "b", "c"), [0, 2, 0, 2])


@pytest.mark.parametrize("seen_before", [False, True])
def test_too_many_broken_pictures(tmp_path: Path, seen_before: bool) -> None:
    if seen_before:
        prepare(Numbered(broken=[1, 2, 3, 4], allowed=4), 4, tmp_path)
    with pytest.raises(DataError) as refused:
        prepare(Numbered(broken=[1, 2, 3, 4], allowed=3), 4, tmp_path)
    assert str(refused.value) == (
        "More than 3 of 50 pictures cannot be read, such as 1.png: torn; 2.png: torn; 3.png: torn. Mend them, or allow "
        "more with --set dataset.max_unreadable=N."
    )
    assert leftovers(tmp_path) == []


def test_too_many_broken_pictures_end_the_work_early(tmp_path: Path) -> None:
    pictures = Numbered(10_000, broken=[0])
    with pytest.raises(DataError, match="More than 0 of 10000 pictures"):
        prepare(pictures, 1, tmp_path, workers=1)
    assert pictures.reads < 200


def test_no_readable_picture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^None of 2 pictures can be read, such as 0\.png: torn; 1\.png: torn\.$"):
        prepare(Numbered(2, broken=[0, 1], allowed=100), 4, tmp_path)


def test_warnings_of_decoders_are_silent_in_threads_and_filters_come_back(tmp_path: Path) -> None:
    class Noisy(Numbered):
        def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
            warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=1)
            return super().read(index, side)

    before = list(warnings.filters)
    assert numbers(prepare(Noisy(), 4, tmp_path)) == list(range(50))
    assert list(warnings.filters) == before


# Failures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "label", "message"),
    [
        (np.zeros((4, 4, 1), np.uint8), 0, r"an array \(4, 4, 1\) of uint8, not \(4, 4, 3\) of uint8, for 0\.png"),
        (np.zeros((4, 4, 3)), 0, r"of float64, not"),
        ([[[0, 0, 0]]], 0, r"read gives list, not an array, for 0\.png"),
        (np.zeros((4, 4, 3), np.uint8), 3, r"read gives the label 3, of 3 classes, for 0\.png"),
        (np.zeros((4, 4, 3), np.uint8), -1, r"the label -1"),
        (np.zeros((4, 4, 3), np.uint8), 0.5, r"the label 0\.5, not a whole number, for 0\.png"),
        (np.zeros((4, 4, 3), np.uint8), None, r"the label None, not a whole number"),
    ],
)
def test_a_data_set_that_breaks_its_promise(tmp_path: Path, pixels: Any, label: Any, message: str) -> None:
    pictures = Numbered(names="abc")
    pictures.read = lambda index, side: (pixels, label)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=message):
        prepare(pictures, 4, tmp_path)
    assert leftovers(tmp_path) == []


def test_a_data_set_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^The data set holds no pictures\.$"):
        prepare(Numbered(0), 4, tmp_path)


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path) -> None:
    for name, age in ((".old.partial", 90_000), (".new.partial", 60)):
        (tmp_path / name).mkdir()
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    prepare(Numbered(), 4, tmp_path)
    assert leftovers(tmp_path) == [".new.partial"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, content: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path: Path, mode: str) -> io.FileIO:
        return Full(path, mode)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", opened)
        with pytest.raises(
            DataError, match=r"cannot be written to .*: No space left on device\. Set SNGAN_HOME to a folder"
        ):
            prepare(Numbered(), 4, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written to .*/file: .*SNGAN_HOME"):
        prepare(Numbered(), 4, tmp_path / "file")


def test_an_interruption_stops_soon_and_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    pictures = Numbered(10_000)
    with pytest.raises(KeyboardInterrupt):
        prepare(pictures, 1, tmp_path, interrupt, workers=2)
    assert pictures.reads < 400
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_an_unexpected_error_leaves_nothing(tmp_path: Path) -> None:
    class Wrong(Numbered):
        def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        prepare(Wrong(), 4, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_two_preparations_at_once_both_end_well(tmp_path: Path) -> None:
    """The second one begins and ends while the first one decodes; its cache stays."""
    inner: list[DecodedPictures] = []

    def prepare_too(done: int, total: int) -> None:
        if not inner:
            inner.append(prepare(Numbered(), 4, tmp_path))

    outer = prepare(Numbered(), 4, tmp_path, prepare_too)
    made = (inner[0].path / "images.npy").stat().st_ino
    assert (outer.path / "images.npy").stat().st_ino == made
    assert numbers(outer) == numbers(inner[0]) == list(range(50))
    assert (outer.path, outer.data_sha256) == (inner[0].path, inner[0].data_sha256)
    assert leftovers(tmp_path) == []


def test_a_cache_of_another_format_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(Numbered(), 4, tmp_path)
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    again = Numbered()
    prepare(again, 4, tmp_path)
    assert again.reads == 50


def test_what_a_killed_writer_of_features_left_is_swept(tmp_path: Path) -> None:
    from sngan_cli.engine import features

    old, young = tmp_path / ".a.safetensors.1.partial", tmp_path / ".b.safetensors.2.partial"
    for path, age in ((old, 90_000), (young, 80_000)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))
    features._write(tmp_path / "c.safetensors", {"pooled": torch.ones(1)})
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "c.safetensors"]
