"""Street View House Numbers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from sngan_cli.contracts import DataError, Dataset, Pictures
from sngan_plugins.datasets.mat import read_mat
from sngan_plugins.datasets.published import ArrayPictures, download

TITLE = "SVHN"
URL = "http://ufldl.stanford.edu/housenumbers"
MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    "extra_32x32.mat": "a93ce644f1a588dc4d68dda5feec44a7",
}


class Svhn(Dataset, contract=1):
    """Street View House Numbers (Netzer et al., 2011): 73 257 training pictures of 32 px, ten digits."""

    downloads: ClassVar[bool] = True

    split: Literal["train", "test", "extra", "train+extra"] = "train"
    """Which of the official splits."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Find or fetch one file a split; `root` may be one of them, too."""
        folder = root or download_to / "svhn"
        if folder.is_file():
            folder = folder.parent
        parts, labels = [], []
        for split in self.split.split("+"):
            name = f"{split}_32x32.mat"
            if root is None:
                download(TITLE, f"{URL}/{name}", folder / name, MD5[name])
            found = read_mat(folder / name, TITLE, f"{URL}/{name}")
            if not _is_whole(found):
                raise DataError(f"The file {folder / name} is not {TITLE} as published: download {URL}/{name} again.")
            parts.append(np.ascontiguousarray(found["X"].transpose(3, 0, 1, 2)))
            labels.append(found["y"].ravel().astype(np.int64) % 10)  # the digit 0 is published as 10
        digest = hashlib.sha256()
        for array in (*parts, *labels):
            digest.update(array.data)
        identity = f"svhn {self.split} {digest.hexdigest()[:16]}"
        return ArrayPictures(identity, parts, np.concatenate(labels), tuple("0123456789"))

    def default_side(self, pictures: Pictures) -> int:
        """32 pixels, as published."""
        return 32


def _is_whole(found: dict[str, np.ndarray]) -> bool:
    """Whether the arrays are pictures X (32, 32, 3, N) and labels y (N, 1) from 1 to 10."""
    if not {"X", "y"} <= found.keys():
        return False
    pixels, labels = found["X"], found["y"]
    shaped = pixels.dtype == np.uint8 and pixels.shape == (32, 32, 3, labels.size)
    return bool(shaped and np.isin(labels, range(1, 11)).all())
