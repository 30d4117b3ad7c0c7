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
PICTURES = {"train": 5000, "test": 8000, "unlabeled": 100_000}
CLASS_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_AGAIN = f"Delete the folder, and unpack {SOURCE.archive} from {SOURCE.url} there again."


class Stl10(Dataset, contract=1):
    """STL-10 (Coates et al., 2011): pictures of 96 px, of which GANs are usually shown halves of 48 px."""

    downloads: ClassVar[bool] = True

    split: Literal["train+test", "unlabeled", "train+unlabeled"] = "train+test"
    """13 000 labelled pictures, 100 000 unlabelled ones, or the latter and 5 000 others whose labels are left out."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Find or fetch the archive; its files are memory-mapped, not loaded."""
        folder = SOURCE.locate(root, download_to) / SOURCE.folder
        splits = self.split.split("+")
        parts = [_images(folder / f"{split}_X.bin", PICTURES[split]) for split in splits]
        labels, names, kinds = np.zeros(sum(map(len, parts)), dtype=np.int64), None, "X"
        if "unlabeled" not in splits:
            labels = np.concatenate([_labels(folder / f"{split}_y.bin", PICTURES[split]) for split in splits])
            names, kinds = CLASS_NAMES, "Xy"
        found = [(folder / f"{split}_{kind}.bin").stat() for split in splits for kind in kinds]
        times = [(status.st_mtime_ns, status.st_ctime_ns) for status in found]
        return ArrayPictures(f"stl10 {self.split} {times}", parts, labels, names)

    def default_side(self, pictures: Pictures) -> int:
        """48 pixels, as in the paper and the seed."""
        return 48


def _images(path: Path, count: int) -> np.ndarray:
    """Map pictures (N, 96, 96, 3); the file holds each as three planes, column by column."""
    _check_size(path, count * 3 * _SIDE * _SIDE)
    planes = np.memmap(path, np.uint8, "r", shape=(count, 3, _SIDE, _SIDE))
    return planes.transpose(0, 3, 2, 1)


def _labels(path: Path, count: int) -> np.ndarray:
    """Read labels (N,), which the file counts from 1."""
    _check_size(path, count)
    labels = np.fromfile(path, np.uint8).astype(np.int64) - 1
    if labels.min() < 0 or labels.max() >= len(CLASS_NAMES):
        raise DataError(f"The file {path} is damaged: it holds labels out of 1 to 10. {_AGAIN}")
    return labels


def _check_size(path: Path, size: int) -> None:
    """Sizes are fixed by the publication, and much quicker to check than the MD5 of 2.7 GB."""
    if not path.is_file():
        raise DataError(f"The file {path} is missing. {_AGAIN}")
    if path.stat().st_size != size:
        raise DataError(f"The file {path} is damaged: it has {path.stat().st_size} bytes instead of {size}. {_AGAIN}")
