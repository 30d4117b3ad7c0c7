"""Batches that are read from the host's memory, or its disk, while the device is busy with the one before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

Batch = tuple[Tensor, ...]


class Prefetcher:
    """Reads batch after batch on a thread of its own, one ahead of what is asked for.

    `read` gives the batch of so many images that begins at a position; it is called on that thread alone.
    """

    def __init__(self, read: Callable[[int, int], Batch]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._ahead: tuple[tuple[int, int], Future[Batch]] | None = None

    def next(self, position: int, images: int) -> Batch:
        """The batch of `images` images at `position`; the one after it is begun."""
        wanted = (position, images)
        if self._ahead is None or self._ahead[0] != wanted:
            self._ahead = (wanted, self._thread.submit(self._read, *wanted))
        batch = self._ahead[1].result()
        following = (position + images, images)
        self._ahead = (following, self._thread.submit(self._read, *following))
        return batch
