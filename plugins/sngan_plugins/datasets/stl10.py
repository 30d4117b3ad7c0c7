"""STL-10."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from sngan_cli.contracts import DataError, Dataset, Pictures
from sngan_plugins.datasets.published import ArrayPictures, Published

SOURCE = Published(
    title="STL-10",
    url="http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
    archive="stl10_binary.tar.gz",
    md5="91f7769df0f17e558f3565bffb0c7dfb",
    folder="stl10_binary",
)
_SIDE = 96
CLASS_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


class Stl10(Dataset, contract=1):
    """STL-10 (Coates et al., 2011): pictures of 96 px, of which GANs are usually shown halves of 48 px."""

    downloads: ClassVar[bool] = True

    split: Literal["train+test", "unlabeled", "train+unlabeled"] = "train+test"
    """13 000 labelled pictures, 100 000 unlabelled ones, or the latter and 5 000 others whose labels are left out."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Find or fetch the archive; its files are memory-mapped, not loaded."""
        folder = SOURCE.locate(root, download_to) / SOURCE.folder
        splits = self.split.split("+")
        parts = [_images(folder / f"{split}_X.bin") for split in splits]
        identity = f"stl10 {self.split} {[len(part) for part in parts]} {SOURCE.md5}"
        if "unlabeled" in splits:
            return ArrayPictures(identity, parts, np.zeros(sum(map(len, parts)), dtype=np.int64), None)
        labels = np.concatenate([_labels(folder / f"{split}_y.bin") for split in splits])
        return ArrayPictures(identity, parts, labels, CLASS_NAMES)

    def default_side(self, pictures: Pictures) -> int:
        """48 pixels, as in the paper and the seed."""
        return 48


def _images(path: Path) -> np.ndarray:
    """Map pictures (N, 96, 96, 3); the file holds each as three planes, column by column."""
    each = 3 * _SIDE * _SIDE
    try:
        size = path.stat().st_size
        if size == 0 or size % each:
            raise DataError(f"The file {path} is damaged: its {size} bytes are no whole number of pictures.")
        planes = np.memmap(path, np.uint8, "r", shape=(size // each, 3, _SIDE, _SIDE))
    except OSError as error:
        raise _missing(path) from error
    return planes.transpose(0, 3, 2, 1)


def _labels(path: Path) -> np.ndarray:
    """Read labels (N,), which the file counts from 1."""
    try:
        return np.fromfile(path, np.uint8).astype(np.int64) - 1
    except OSError as error:
        raise _missing(path) from error


def _missing(path: Path) -> DataError:
    return DataError(f"The file {path} is missing: unpack {SOURCE.archive} from {SOURCE.url} there.")
