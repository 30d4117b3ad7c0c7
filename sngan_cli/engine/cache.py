"""Decoded pictures: a data set is decoded and resized once, and memory-mapped from then on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sngan_cli.contracts import DataError, Pictures, UnreadablePictureError

FORMAT = 1
"""Version of the files below and of the way pictures are resized: another one makes another cache."""
_CHUNK = 128


@dataclass(frozen=True)
class DecodedPictures:
    """A prepared data set.

    `images` (N, side, side, 3) uint8 is a memory map, writable in memory only (copy-on-write), `labels` (N,) is int64;
    `data_sha256` identifies pixels, labels and class names; `skipped` says which pictures could not be read, and why.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...] | None
    skipped: tuple[tuple[str, str], ...]
    data_sha256: str


def prepare(
    pictures: Pictures, side: int, cache: Path, progress: Callable[[int, int], None] | None = None
) -> DecodedPictures:
    """Decode every picture to `side` pixels, or find it done: the cache is keyed by content.

    Broken pictures are left out. Raises `DataError` where there are more of them than the data set allows, where none
    is left, and where the cache cannot be written.
    """
    key = hashlib.sha256(f"{FORMAT}\0{side}\0{pictures.identity}".encode()).hexdigest()[:24]
    folder = cache / key
    found = _read(folder)
    if found is not None and found[1] <= pictures.max_unreadable:
        return found[0]
    partial = cache / f".{key}.{uuid.uuid4().hex}.partial"
    try:
        partial.mkdir(parents=True)
        _decode(pictures, side, partial, progress)
        _put(partial, folder)
    except OSError as error:
        raise DataError(
            f"The decoded pictures cannot be written to {cache}: {error.strerror}. Free some space, or set "
            "SNGAN_HOME to a folder on another disk."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    made = _read(folder)
    if made is None:
        raise DataError(f"The decoded pictures in {folder} were damaged while they were written: try again.")
    return made[0]


def _decode(pictures: Pictures, side: int, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    total = len(pictures)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (total, side, side, 3))
    labels = np.zeros(total, dtype=np.int64)
    skipped: dict[int, str] = {}

    def decode_range(start: int) -> int:
        end = min(start + _CHUNK, total)
        for index in range(start, end):
            try:
                images[index], labels[index] = pictures.read(index, side)
            except UnreadablePictureError as error:
                skipped[index] = str(error)
        return end - start

    done = 0
    for count in _in_threads(decode_range, range(0, total, _CHUNK)):
        done += count
        if progress is not None:
            progress(done, total)
        _check_skipped(pictures, skipped, done == total)
    kept = np.array([index for index in range(total) if index not in skipped])
    if skipped:
        whole, images = (
            images,
            np.lib.format.open_memmap(folder / "kept.npy", "w+", np.uint8, (len(kept), side, side, 3)),
        )
        for position, index in enumerate(kept):
            images[position] = whole[index]
        (folder / "kept.npy").replace(folder / "images.npy")
    images.flush()
    np.save(folder / "labels.npy", labels[kept])
    names = None if pictures.class_names is None else list(pictures.class_names)
    meta = {
        "identity": pictures.identity,
        "side": side,
        "class_names": names,
        "skipped": [[pictures.name(index), skipped[index]] for index in sorted(skipped)],
        "sizes": {name: (folder / name).stat().st_size for name in ("images.npy", "labels.npy")},
        "data_sha256": _digest(images, labels[kept], names),
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def _in_threads(work: Callable[[int], int], starts: range) -> Iterator[int]:
    """Run `work` over `starts` on every core, in order; an interruption drops what has not begun.

    Threads suffice: decoders release the interpreter, and nothing has to be copied between processes.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(work, starts)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_skipped(pictures: Pictures, skipped: dict[int, str], over: bool) -> None:
    if len(skipped) <= pictures.max_unreadable and not (over and len(skipped) == len(pictures)):
        return
    first = sorted(skipped)[:3]
    named = "; ".join(f"{pictures.name(index)}: {skipped[index]}" for index in first)
    if len(skipped) == len(pictures):
        raise DataError(f"None of the {len(pictures)} pictures can be read, such as {named}.")
    raise DataError(
        f"More than {pictures.max_unreadable} of {len(pictures)} pictures cannot be read, such as {named}. Mend them, "
        "or allow more with --set dataset.max_unreadable=N."
    )


def _digest(images: np.ndarray, labels: np.ndarray, names: list[str] | None) -> str:
    digest = hashlib.sha256(json.dumps([images.shape, names]).encode())
    for start in range(0, len(images), 4096):
        digest.update(np.ascontiguousarray(images[start : start + 4096]).data)
    digest.update(labels.tobytes())
    return digest.hexdigest()


def _put(partial: Path, folder: Path) -> None:
    """Move a finished cache into place; another process may have put an equal one there meanwhile."""
    if folder.exists():
        doomed = partial.with_name(f"{partial.name}.replaced")
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    try:
        partial.rename(folder)
    except OSError:
        if not (folder / "meta.json").is_file():
            raise


def _read(folder: Path) -> tuple[DecodedPictures, int] | None:
    """Open a cache with its count of skipped pictures; None where there is none, or it is not whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if any((folder / name).stat().st_size != size for name, size in meta["sizes"].items()):
            return None
        images = np.load(folder / "images.npy", mmap_mode="c")
        labels = np.load(folder / "labels.npy")
    except (OSError, ValueError, KeyError):
        return None
    names = meta["class_names"]
    skipped = tuple((name, reason) for name, reason in meta["skipped"])
    decoded = DecodedPictures(images, labels, None if names is None else tuple(names), skipped, meta["data_sha256"])
    return decoded, len(skipped)
