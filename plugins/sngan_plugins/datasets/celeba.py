"""CelebA."""

from __future__ import annotations

from pathlib import Path

from sngan_cli.contracts import DataError, Dataset, Field, Pictures
from sngan_plugins.datasets.decoding import is_picture
from sngan_plugins.datasets.files import FilePictures, is_visible, open_files

URL = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
ARCHIVE = "img_align_celeba.zip"


class CelebA(Dataset, contract=1):
    """CelebA (Liu et al., 2015): 202 599 aligned faces, cut square, at 64 px; unlabelled here."""

    max_unreadable: int = Field(default=10, ge=0)
    """Broken pictures that are skipped before the data set is refused."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """List the faces in the archive, in a folder that holds it, or in the folder that it was unpacked to."""
        if root is None:
            raise DataError(
                f"CelebA must be fetched by hand, since its terms are to be agreed to: download {ARCHIVE} from {URL}, "
                "and give it to --data-dir."
            )
        if root.is_dir():
            root = next((p for p in (root / ARCHIVE, root / "img_align_celeba") if p.exists()), root)
        files = open_files(root, download_to)
        paths = sorted(name for name in files.names() if is_visible(name) and is_picture(name))
        if not paths:
            raise DataError(f"There are no pictures in {files.place}: expected is {ARCHIVE}, from {URL}.")
        return FilePictures("celeba", files, paths, [0] * len(paths), max_unreadable=self.max_unreadable)

    def default_side(self, pictures: Pictures) -> int:
        """64 pixels, of faces that are 178 px wide."""
        return 64
