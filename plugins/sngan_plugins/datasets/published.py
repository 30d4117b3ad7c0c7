"""Data sets that are published as one archive: finding, fetching and unpacking it."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sngan_cli.contracts import DataError, Pictures
from sngan_plugins.datasets.decoding import fit


@dataclass(frozen=True)
class Published:
    """Where an archive is published, and the folder that it unpacks to."""

    title: str
    url: str
    archive: str
    md5: str
    folder: str

    def locate(self, root: Path | None, download_to: Path) -> Path:
        """Find the folder that holds `folder`, under `root` or, fetching it if need be, under `download_to`.

        `root` may be that folder, the unpacked folder itself, the archive, or a folder that holds the archive. Raises
        `DataError` saying which file to put where.
        """
        place = download_to / self.folder
        if root is None:
            if not (place / self.folder).is_dir():
                self._download(place)
            return place
        if (root / self.folder).is_dir():
            return root
        if root.name == self.folder and root.is_dir():
            return root.parent
        archive = root if root.is_file() else root / self.archive
        if not archive.is_file():
            raise DataError(
                f"{self.title} is not in {root}: expected there is {self.folder}/ or {self.archive}, from {self.url}."
            )
        unpacked = (place / self.folder).is_dir()
        if not unpacked or archive.name != self.archive:  # else it is taken for what was unpacked: MD5s take seconds
            self._check(archive)
        if not unpacked:
            self._unpack(archive, place)
        return place

    def _download(self, place: Path) -> None:
        download(self.title, self.url, place / self.archive, self.md5)
        self._unpack(place / self.archive, place)

    def _check(self, archive: Path) -> None:
        from torchvision.datasets.utils import check_integrity

        if not check_integrity(archive, self.md5):
            raise DataError(
                f"The archive {archive} is not {self.title} as published: its MD5 is not {self.md5}. Download "
                f"{self.url} again or, if the archive holds pictures of your own, give it to --dataset folder."
            )

    def _unpack(self, archive: Path, place: Path) -> None:
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place, prefix=".partial-") as partial:
                with tarfile.open(archive) as packed:
                    packed.extractall(partial, filter="data")
                (Path(partial) / self.folder).rename(place / self.folder)
        except (OSError, tarfile.TarError) as error:
            if not (place / self.folder).is_dir():  # else another process was quicker
                raise DataError(f"The archive {archive} cannot be unpacked to {place}: {error}.") from error


def download(title: str, url: str, target: Path, md5: str | None) -> None:
    """Fetch a file unless it is there already; raises `DataError` saying how to do that by hand."""
    from torchvision.datasets.utils import check_integrity, download_url

    if check_integrity(target, md5):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as partial:
            download_url(url, Path(partial), target.name, md5)
            (Path(partial) / target.name).replace(target)  # half a file, without an MD5, would be taken for all of it
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{title} could not be downloaded ({reason}). Download {url} by hand to {target}, or give --data-dir the "
            "folder that you put it in."
        ) from error


class ArrayPictures(Pictures):
    """Pictures that are decoded already: uint8 arrays (N, H, W, 3) laid end to end, and labels."""

    identity_covers_code = True  # resizing is versioned with sngan's cache

    def __init__(
        self, identity: str, parts: Sequence[np.ndarray], labels: np.ndarray, class_names: Sequence[str] | None
    ):
        self.identity, self.class_names = identity, class_names
        self._parts, self._labels = parts, labels
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, index: int) -> str:
        """Number of the picture."""
        return f"picture {index}"

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of one picture."""
        height, width = self._pixels(index).shape[:2]
        return width, height

    def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
        """Resize one picture."""
        pixels = np.ascontiguousarray(self._pixels(index))
        return np.asarray(fit(Image.fromarray(pixels), side)), int(self._labels[index])

    def _pixels(self, index: int) -> np.ndarray:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        pixels: np.ndarray = self._parts[part][index - self._starts[part]]
        return pixels
