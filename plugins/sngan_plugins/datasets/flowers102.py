"""Oxford 102 Flowers."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from sngan_cli.contracts import DataError, Dataset, Field, Pictures
from sngan_plugins.datasets.files import FilePictures, open_files
from sngan_plugins.datasets.mat import read_mat
from sngan_plugins.datasets.published import download

TITLE = "Oxford 102 Flowers"
URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
ARCHIVE, LABELS, SPLITS = "102flowers.tgz", "imagelabels.mat", "setid.mat"
FOLDER = "jpg"
"""What the archive unpacks to."""
MD5 = {
    ARCHIVE: "52808999861908f626f3c1f4e79d11fa",
    LABELS: "e0620be6f572b9609742df49c70aed4d",
    SPLITS: "a5357ecc9cb78c4bef273ce3793fc85c",
}
_SPLIT = {"train": ("trnid",), "val": ("valid",), "test": ("tstid",), "all": ("trnid", "valid", "tstid")}
_PICTURE = re.compile(r"(?:.*/)?image_(?P<number>\d{5})\.jpg")


class Flowers102(Dataset, contract=1):
    """Oxford 102 Flowers (Nilsback & Zisserman, 2008): 8 189 photographs of 102 kinds, cut square, at 96 px."""

    downloads: ClassVar[bool] = True

    split: Literal["all", "train", "val", "test"] = "all"
    """All official splits together, as in the article, or one of them."""
    max_unreadable: int = Field(default=10, ge=0)
    """Broken pictures that are skipped before the data set is refused."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """Find or fetch the pictures and the two files of labels and splits beside them."""
        if root is None:
            root = download_to / "flowers-102"
            for name, md5 in MD5.items():
                download(TITLE, f"{URL}/{name}", root / name, md5)
        beside = root if root.is_dir() and root.name != FOLDER else root.parent
        files = open_files(beside / ARCHIVE if (beside / ARCHIVE).is_file() else root, download_to)
        numbers = {int(m["number"]): name for name in files.names() if (m := _PICTURE.fullmatch(name))}
        if not numbers:
            shown = ", ".join(sorted(files.names())[:3]) or "nothing"
            raise DataError(
                f"{files.place} is not {TITLE} as published: expected are pictures named image_00001.jpg and so on; "
                f"found is {shown}."
            )
        labels = _numbers(beside / LABELS, "labels")
        if not np.isin(labels, range(1, 103)).all():
            raise DataError(f"The file {beside / LABELS} is damaged: it holds labels out of 1 to 102. {_again(LABELS)}")
        chosen = np.sort(np.concatenate([_numbers(beside / SPLITS, key) for key in _SPLIT[self.split]]))
        if missing := [number for number in chosen if number not in numbers or number > len(labels)]:
            raise DataError(
                f"{files.place} lacks {len(missing)} of the {len(chosen)} pictures that {SPLITS} names, such as "
                f"image_{missing[0]:05d}.jpg. {_again(ARCHIVE)}"
            )
        return FilePictures(
            f"flowers102 {self.split} {hashlib.sha256(labels.tobytes()).hexdigest()[:16]}",
            files,
            [numbers[number] for number in chosen],
            [int(labels[number - 1]) - 1 for number in chosen],
            class_names=_class_names(),
            max_unreadable=self.max_unreadable,
        )

    def default_side(self, pictures: Pictures) -> int:
        """96 pixels, as in the article."""
        return 96


def _numbers(path: Path, key: str) -> np.ndarray:
    """Read one of the arrays (N,) of a file of labels or splits."""
    found = read_mat(path, TITLE, f"{URL}/{path.name}")
    if key not in found:
        raise DataError(f"The file {path} is not {TITLE} as published: it has no {key!r}. {_again(path.name)}")
    return found[key].ravel()


def _again(name: str) -> str:
    return f"Download {URL}/{name} again."


def _class_names() -> tuple[str, ...]:
    """Names of the 102 kinds, in the order of their labels."""
    from torchvision.datasets import Flowers102 as Torchvision

    return tuple(Torchvision.classes)
