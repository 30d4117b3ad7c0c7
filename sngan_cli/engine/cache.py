"""Decoded pictures: a data set is decoded and resized once, and memory-mapped from then on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sngan_cli.contracts import DataError, Pictures, UnreadablePictureError
from sngan_cli.disk import mark_used, sweep
from sngan_cli.engine.decoding import decode_all
from sngan_cli.engine.source import source_sha256
from sngan_cli.wording import counted

FORMAT = 4
"""Version of the files below and of the way pictures are read and resized: another one makes another cache."""
_CHECKED = 2**30
"""Bytes of a file that is compared with what was written whenever it is opened; of a larger one, its size has to do."""
_PART = 2**26
"""Bytes of a file that are compared between two reports."""


@dataclass
class Stored:
    """How large pictures were before they were brought to one side, as far as that is known.

    `smallest` and `largest` are shorter sides; `enlarged` is how many were smaller than the side that they have now,
    of which the smallest is called `name`; `cut` is how many were not square.
    """

    smallest: int = 0
    name: str = ""
    largest: int = 0
    enlarged: int = 0
    cut: int = 0

    def add(self, sizes: Sequence[tuple[int, int, str]], side: int) -> None:
        """Take in shorter and longer sides of pictures brought to `side`, and names of those that it enlarges."""
        for shorter, longer, name in sizes:
            if not self.smallest or (shorter, name) < (self.smallest, self.name):
                self.smallest, self.name = shorter, name
            self.largest = max(self.largest, shorter)
            self.enlarged += shorter < side
            self.cut += shorter < longer

    def remark(self, total: int, side: int) -> str | None:
        """What is remarked on where some of `total` pictures were smaller than what they were brought to."""
        if not self.enlarged:
            return None
        of, most = f"{self.enlarged} of {counted(total, 'picture')}", f"{self.name} the most, from {self.smallest} px"
        return f"Enlarged {of} to {side} px, {most}: a smaller --size would enlarge fewer."


@dataclass(frozen=True)
class DecodedPictures:
    """A prepared data set, in the folder `path`.

    `images` (N, side, side, 3) uint8 is a memory map, writable in memory only (copy-on-write), `labels` (N,) is int64;
    `data_sha256` identifies pixels, labels and class names; `skipped` says which pictures could not be read, and why;
    `stored` is how large they were; `remarks` say what else whoever trains or scores should know. A class keeps its
    name and number even where none of its pictures could be read.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] | None
    skipped: tuple[tuple[str, str], ...]
    data_sha256: str
    path: Path
    stored: Stored
    remarks: tuple[str, ...] = ()

    def tell(self, warn: Callable[[str], None]) -> None:
        """Warn of what is remarked, and of the pictures that could not be read, if there are any."""
        for remark in self.remarks:
            warn(remark)
        if not self.skipped:
            return
        (name, reason), count = self.skipped[0], len(self.skipped)
        way_out = "Mend it, or remove it." if count == 1 else "Mend them, or remove them"
        if count > 1:
            way_out += "; `sngan datasets prepare` with --json names all."
        total = counted(len(self.images) + count, "picture")
        warn(f"Skipped {count} of {total}, such as {name}: {reason.rstrip('.')}. {way_out}")


def prepare(
    pictures: Pictures,
    side: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int | None = None,
    comparing: Callable[[int, int], None] | None = None,
) -> DecodedPictures:
    """Decode every picture to `side` pixels, or find it done: the cache is keyed by content.

    The code of a data set is content, too, unless its identity covers it. Broken pictures are left out, until they can
    be read: a zip archive tells by names and checksums what ought to be in it. What was damaged on the disk is decoded
    anew, which is remarked on; files beyond 1 GiB are looked at to their end only where `comparing` is given, which is
    told how many MiB of how many are done. `progress` is told of decoding; `workers` threads decode, one a core by
    default. Raises `DataError` where more pictures are broken than the data set allows, where none is left, where they
    are changed meanwhile, and where the cache cannot be written.
    """
    key = _key(pictures, side)
    folder = cache / key
    mark_used(folder)
    was_there, found, remarks = folder.exists(), _read(folder, comparing), [*pictures.remarks]
    if found is not None and _some_can_be_read(pictures, side, found.skipped):
        shutil.rmtree(folder, ignore_errors=True)
        was_there, found = False, None
    if found is None:
        if was_there:
            remarks.append(
                f"The decoded pictures in {folder} were damaged, and have been decoded anew: check the disk."
            )
        partial = cache / f".{key}.{uuid.uuid4().hex}.partial"
        sweep(cache)
        try:
            partial.mkdir(parents=True)
            _write(pictures, side, partial, progress, workers or os.cpu_count() or 1)
            if pictures.is_changed():  # what was decoded is none of what the key stands for
                raise DataError("The pictures were changed while they were decoded: try again.")
            _publish(partial, folder, comparing)
        except OSError as error:
            raise DataError(
                f"The decoded pictures cannot be written to {cache}: {error.strerror or error}. Set SNGAN_HOME to a "
                "folder that can be written and has room, or free some."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        found = _read(folder)
    if found is None:
        raise DataError(f"The decoded pictures in {folder} were damaged while they were written: try again.")
    _check_skipped(pictures, found.skipped)
    return replace(found, remarks=(*remarks, *found.remarks))


def _key(pictures: Pictures, side: int) -> str:
    """What the folder of decoded pictures is called."""
    told = f"{FORMAT}\0{side}\0{pictures.identity}"
    if not pictures.identity_covers_code:
        told += f"\0{source_sha256(type(pictures))}"
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def _some_can_be_read(pictures: Pictures, side: int, skipped: Sequence[tuple[str, str]]) -> bool:
    """Whether one of the pictures that were skipped is a sound one by now."""
    names = {name for name, _ in skipped}
    for index in range(len(pictures)) if names else ():
        if pictures.name(index) in names:
            with suppress(UnreadablePictureError, OSError):
                pictures.read(index, side)
                return True
    return False


def _write(
    pictures: Pictures, side: int, folder: Path, progress: Callable[[int, int], None] | None, workers: int
) -> None:
    """Write images.npy, labels.npy and meta.json.

    On a full disk, writing to a file raises an error; writing to a memory map would kill the process.
    """
    total, done = len(pictures), 0
    labels: list[int] = []
    skipped: list[tuple[str, str]] = []
    stored = Stored()
    with (folder / "images.npy").open("wb") as file, closing(decode_all(pictures, side, workers)) as chunks:
        _write_header(file, (total, side, side, 3))
        for chunk in chunks:
            file.write(chunk.images.data)
            labels += chunk.labels
            skipped += chunk.skipped
            stored.add(chunk.sizes, side)
            _check_skipped(pictures, skipped)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        _write_header(file, (len(labels), side, side, 3))
    np.save(folder / "labels.npy", np.array(labels, dtype=np.int64))
    names = None if pictures.class_names is None else list(pictures.class_names)
    meta = {
        "format": FORMAT,
        "identity": pictures.identity,
        "side": side,
        "class_names": names,
        "skipped": skipped,
        "stored": asdict(stored),
        "files": {name: _state(folder / name) for name in ("images.npy", "labels.npy")},
        "data_sha256": _digest(folder, names),
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Begin an array file of uint8; NumPy leaves room in the header for any other number of rows."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _digest(folder: Path, names: list[str] | None) -> str:
    images, labels = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "labels.npy")
    digest = hashlib.sha256(json.dumps([images.shape, names]).encode())
    for start in range(0, len(images), 4096):
        digest.update(images[start : start + 4096].data)
    digest.update(labels.data)
    return digest.hexdigest()


def _state(path: Path) -> tuple[int, int]:
    """Size and CRC-32 of a file, which tell any single byte that is not as it was written."""
    return path.stat().st_size, _crc32(path)


def _is_whole(path: Path, size: int, crc32: int, comparing: Callable[[int, int], None] | None) -> bool:
    """Whether a file is as it was written, as far as it is looked at."""
    if path.stat().st_size != size:
        return False
    if size <= _CHECKED:
        return _crc32(path) == crc32
    return comparing is None or _crc32(path, comparing) == crc32


def _crc32(path: Path, report: Callable[[int, int], None] = lambda done, total: None) -> int:
    content, found = np.memmap(path, np.uint8, "r").data, 0
    for start in range(0, len(content), _PART):
        report(start >> 20, len(content) >> 20)
        found = zlib.crc32(content[start : start + _PART], found)
    report(len(content) >> 20, len(content) >> 20)
    return found


def _check_skipped(pictures: Pictures, skipped: Sequence[tuple[str, str]]) -> None:
    """Raise `DataError` where too many pictures are broken, or all."""
    total, allowed = len(pictures), pictures.max_unreadable
    if not total:
        raise DataError("The data set holds no pictures.")
    if len(skipped) <= allowed and len(skipped) < total:
        return
    named = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
    if len(skipped) == total:
        raise DataError(f"None of {counted(total, 'picture')} can be read, such as {named}.")
    raise DataError(
        f"More than {allowed} of {total} pictures cannot be read, such as {named}. Mend them, or allow more with "
        "--set dataset.max_unreadable=N."
    )


def _publish(partial: Path, folder: Path, comparing: Callable[[int, int], None] | None) -> None:
    """Move a finished cache into place, unless another process has put an equal one there meanwhile."""
    if _read(folder, comparing) is not None:
        return
    shutil.rmtree(folder, ignore_errors=True)  # damaged, if there at all
    try:
        partial.rename(folder)
    except OSError:
        if _read(folder) is None:
            raise


def _read(folder: Path, comparing: Callable[[int, int], None] | None = None) -> DecodedPictures | None:
    """Open a cache; None where there is none, or it is not as it was written. `comparing` is explained at `prepare`."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if not all(_is_whole(folder / name, size, crc32, comparing) for name, (size, crc32) in meta["files"].items()):
            return None
        images, labels = np.load(folder / "images.npy", mmap_mode="c"), np.load(folder / "labels.npy")
        stored = Stored(**meta["stored"])
        remark = stored.remark(len(images), meta["side"])
        return DecodedPictures(
            images=images,
            labels=labels,
            class_names=None if meta["class_names"] is None else tuple(meta["class_names"]),
            skipped=tuple((name, reason) for name, reason in meta["skipped"]),
            data_sha256=meta["data_sha256"],
            path=folder,
            stored=stored,
            remarks=() if remark is None else (remark,),
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None
