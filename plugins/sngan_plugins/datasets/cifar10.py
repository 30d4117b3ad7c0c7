"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from sngan_cli.contracts import DataError, Dataset, Pictures
from sngan_plugins.datasets.published import ArrayPictures, Published

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

SOURCE = Published(
    title="CIFAR-10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    archive="cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
)


class Cifar10(Dataset, contract=1):
    """CIFAR-10: 50 000 training and 10 000 test pictures of 32 px in ten classes (Krizhevsky, 2009)."""

    downloads: ClassVar[bool] = True

    split: Literal["train", "test", "train+test"] = "train"
    """Which of the official splits."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Find or fetch the archive; torchvision verifies each file's MD5 before it reads it."""
        from torchvision.datasets import CIFAR10

        return open_cifar("cifar10", SOURCE, CIFAR10, self.split, SOURCE.locate(root, download_to))

    def default_side(self, pictures: Pictures) -> int:
        """32 pixels, as published."""
        return 32


def open_cifar(name: str, source: Published, reader: type[CIFAR10], split: str, place: Path) -> Pictures:
    """Read splits of CIFAR-10 or CIFAR-100, joined by `+`, with torchvision's reader of it."""
    try:
        parts = [reader(place, train=part == "train") for part in split.split("+")]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"The files in {place / source.folder} are not {source.title} as published: delete the folder, and unpack "
            f"{source.archive} there again."
        ) from error
    labels = np.concatenate([np.asarray(part.targets, dtype=np.int64) for part in parts])
    identity = f"{name} {source.md5} {split}"
    return ArrayPictures(identity, [part.data for part in parts], labels, tuple(parts[0].classes))
