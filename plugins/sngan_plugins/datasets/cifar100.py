"""CIFAR-100."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from sngan_cli.contracts import Dataset, Pictures
from sngan_plugins.datasets.cifar10 import open_cifar
from sngan_plugins.datasets.published import Published

SOURCE = Published(
    title="CIFAR-100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    archive="cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
)


class Cifar100(Dataset, contract=1):
    """CIFAR-100: 50 000 training and 10 000 test pictures of 32 px in a hundred classes (Krizhevsky, 2009)."""

    downloads: ClassVar[bool] = True

    split: Literal["train", "test", "train+test"] = "train"
    """Which of the official splits."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Find or fetch the archive; torchvision verifies each file's MD5 before it reads it."""
        from torchvision.datasets import CIFAR100

        return open_cifar("cifar100", SOURCE, CIFAR100, self.split, SOURCE.locate(root, download_to))

    def default_side(self, pictures: Pictures) -> int:
        """32 pixels, as published."""
        return 32
