"""Pictures are decoded by as many threads as are worth it, and come in order; broken ones are left out."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from sngan_cli.contracts import Pictures, UnreadablePictureError
from sngan_cli.wording import counted, first_line

_CHUNK = 16
"""Pictures that a thread decodes at a time; an interruption waits for them."""
_TRIED = 8
"""Chunks that are decoded by one thread, and by all, to see which is quicker."""


@dataclass(frozen=True)
class Chunk:
    """Some pictures in a row: those that could be read, (N, side, side, 3), and the others' names with the reasons.

    `sizes` are the shorter and longer sides, as they are stored, of those of which they are known, and the names of
    those that are smaller than `side`.
    """

    images: np.ndarray
    labels: Sequence[int]
    skipped: Sequence[tuple[str, str]]
    sizes: Sequence[tuple[int, int, str]]

    def __len__(self) -> int:
        return len(self.images) + len(self.skipped)


def decode_all(pictures: Pictures, side: int, workers: int) -> Generator[Chunk, None, None]:
    """Decode in threads, and yield in order.

    Decoders release the interpreter; of small pictures they need it more than that, and threads that wait for it cost
    more than they gain. So a few pictures are decoded by one thread, a few by all, and the rest by the quicker way.
    """
    starts = range(0, len(pictures), _CHUNK)
    yield from _decode(pictures, side, starts[:1], 1)  # the first picture loads decoders: it is not timed
    done, seconds = 1, dict[int, float]()
    for threads in (1, workers):
        begun = time.perf_counter()
        yield from _decode(pictures, side, starts[done : done + _TRIED], threads)
        done, seconds[threads] = done + _TRIED, time.perf_counter() - begun
    yield from _decode(pictures, side, starts[done:], min(seconds, key=seconds.__getitem__))


def _decode(pictures: Pictures, side: int, starts: Sequence[int], threads: int) -> Generator[Chunk, None, None]:
    """Decode the chunks that begin there, a few ahead of what is asked for."""
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # Decoders warn of flaws in pictures that they can read. Filters are the process's: threads must not set them.
        warnings.simplefilter("ignore")
        ahead: deque[Future[Chunk]] = deque()
        try:
            for start in starts:
                ahead.append(pool.submit(_decode_chunk, pictures, side, start))
                if len(ahead) > 4 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _decode_chunk(pictures: Pictures, side: int, start: int) -> Chunk:
    images = np.empty((min(_CHUNK, len(pictures) - start), side, side, 3), np.uint8)
    labels: list[int] = []
    skipped: list[tuple[str, str]] = []
    sizes: list[tuple[int, int, str]] = []
    for index in range(start, start + len(images)):
        try:
            pixels, label = pictures.read(index, side)
        except UnreadablePictureError as error:
            skipped.append((pictures.name(index), str(error)))
            continue
        except OSError as error:
            skipped.append((pictures.name(index), error.strerror or first_line(error) or type(error).__name__))
            continue
        _check_read(pictures, index, pixels, label, side)
        images[len(labels)] = pixels
        labels.append(label)
        if (size := pictures.size(index)) is not None:
            shorter, longer = sorted(map(int, size))
            sizes.append((shorter, longer, pictures.name(index) if shorter < side else ""))
    return Chunk(images[: len(labels)], labels, skipped, sizes)


def _check_read(pictures: Pictures, index: int, pixels: object, label: object, side: int) -> None:
    """Raise `ValueError` where a data set breaks its promise: whose it is, `catalog.blaming` says."""
    classes = 1 if pictures.class_names is None else len(pictures.class_names)
    if not isinstance(pixels, np.ndarray):
        found = f"{type(pixels).__name__}, not an array"
    elif pixels.shape != (side, side, 3) or pixels.dtype != np.uint8:
        found = f"an array {pixels.shape} of {pixels.dtype}, not {(side, side, 3)} of uint8"
    elif not isinstance(label, int | np.integer):
        found = f"the label {label!r}, not a whole number"
    elif not 0 <= label < classes:
        found = f"the label {label}, of {counted(classes, 'class', 'classes')}"
    else:
        return
    raise ValueError(f"read gives {found}, for {pictures.name(index)}")
