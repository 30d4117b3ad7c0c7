"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from sngan_cli.contracts import DataError, Dataset, Pictures
from sngan_plugins.datasets.published import ArrayPictures, Published

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

        place = SOURCE.locate(root, download_to)
        try:
            parts = [CIFAR10(place, train=split == "train") for split in self.split.split("+")]
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"The files in {place / SOURCE.folder} are not CIFAR-10 as published: delete the folder, and unpack "
                f"{SOURCE.archive} there again."
            ) from error
        labels = np.concatenate([np.asarray(part.targets, dtype=np.int64) for part in parts])
        names = tuple(parts[0].classes)
        return ArrayPictures(f"cifar10 {SOURCE.md5} {self.split}", [part.data for part in parts], labels, names)

    def default_side(self, pictures: Pictures) -> int:
        """32 pixels, as published."""
        return 32
