"""Real images for the discriminator: kept as uint8 where the training is, shuffled, mirrored and dequantised there."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import torch

from sngan_cli.engine.prefetch import Prefetcher

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def derived_seed(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose of a run, so that one stream of random numbers never shifts another."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big") >> 1


class Batches(Protocol):
    """Where real images come from."""

    def next(self, batch: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) in [-1, 1] and labels (N,)."""


class ImageStream:
    """An endless stream of real batches that visits every image once an epoch, in an order of that epoch's own.

    The position is one integer, `drawn`: set it, and the stream goes on from there exactly as it would have.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        device: torch.device,
        seed: int,
        flip: bool,
        dequantize: bool,
        share: slice = slice(None),
        budget: int | None = None,
    ) -> None:
        """Take images (N, side, side, 3) uint8 and labels (N,) int64, both writable or copy-on-write.

        On a GPU they are kept there where they take at most `budget` bytes, half of its free memory by default. Others
        stream from the host, each batch read ahead into pinned memory. `share` says which of each batch are wanted.
        """
        self.device, self._seed, self._flip, self._dequantize = device, seed, flip, dequantize
        self._share = share
        if budget is None and device.type == "cuda":
            budget = torch.cuda.mem_get_info(device)[0] // 2
        streams = budget is not None and images.nbytes > budget
        self._home = torch.device("cpu") if streams else device
        self._images = torch.from_numpy(images).to(self._home)
        self._labels = torch.from_numpy(labels).to(self._home)
        self._next_batch = Prefetcher(self._read_pinned).next if streams else self._locate
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self.drawn = 0

    def __len__(self) -> int:
        """Images in an epoch."""
        return len(self._labels)

    def next(self, batch: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw images (N, 3, H, W) in [-1, 1] and labels (N,); `random` decides on flips and noise.

        N is `batch`, or the number of images in this stream's share of it: all shares together are the whole batch.
        """
        return self.finish(self.read(batch), batch, random)

    def read(self, batch: int) -> tuple[Tensor, ...]:
        """What the host has to do with the next batch: find its places among the images, or its pixels and labels."""
        found = self._next_batch(self.drawn, batch)
        self.drawn += batch
        return found

    def finish(self, read: tuple[Tensor, ...], batch: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the device does with what was read, to give what `next` does."""
        pixels, y = (self._images[read[0]], self._labels[read[0]]) if len(read) == 1 else read
        pixels = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        if self._flip:
            pixels = torch.where(self._uniform(random, batch, 1, 1, 1) < 0.5, pixels.flip(3), pixels)
        return self._to_unit(pixels, batch, random), y.to(self.device, non_blocking=True)

    def _to_unit(self, pixels: Tensor, batch: int, random: torch.Generator) -> Tensor:
        """Map grey levels to [-1, 1]. With dequantisation, level k becomes uniform over the k-th of 256 equal bins."""
        levels = pixels.float()
        if self._dequantize:
            return (levels + self._uniform(random, batch, *levels.shape[1:])) / 128 - 1
        return levels / 127.5 - 1

    def _uniform(self, random: torch.Generator, *shape: int) -> Tensor:
        """This stream's share of uniform numbers that are drawn for the whole batch."""
        return torch.rand(shape, device=self.device, generator=random)[self._share]

    def _locate(self, position: int, batch: int) -> tuple[Tensor, ...]:
        """Indices (N,) of this stream's share of the batch at a position."""
        return (self._indices(position, batch)[self._share],)

    def _read(self, position: int, batch: int) -> tuple[Tensor, Tensor]:
        """Its pixels (N, side, side, 3) and labels (N,)."""
        (index,) = self._locate(position, batch)
        return self._images[index], self._labels[index]

    def _read_pinned(self, position: int, batch: int) -> tuple[Tensor, ...]:
        """The same in memory that a GPU can copy from by itself."""
        pixels, y = self._read(position, batch)
        return (pixels.pin_memory(), y.pin_memory()) if self.device.type == "cuda" else (pixels, y)

    def _indices(self, position: int, batch: int) -> Tensor:
        parts, missing = [], batch
        while missing:
            epoch, offset = divmod(position, len(self))
            part = self._order_of(epoch)[offset : offset + missing]
            parts.append(part)
            position += len(part)
            missing -= len(part)
        return torch.cat(parts)

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            random = torch.Generator().manual_seed(derived_seed(self._seed, f"epoch {epoch}"))
            self._order = torch.randperm(len(self), generator=random).to(self._home)
            self._epoch = epoch
        return self._order
