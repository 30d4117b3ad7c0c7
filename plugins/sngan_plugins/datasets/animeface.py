"""The AnimeFace Character Dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from sngan_cli.contracts import DataError, Dataset, Field, Pictures
from sngan_plugins.datasets.decoding import is_picture
from sngan_plugins.datasets.files import FilePictures, is_visible, open_files
from sngan_plugins.datasets.published import download

TITLE = "AnimeFace Character Dataset"
URL = "http://www.nurs.or.jp/~nagadomi/animeface-character-dataset/data/animeface-character-dataset.zip"
ARCHIVE = "animeface-character-dataset.zip"
_PICTURE = re.compile(r"(?:.*/)?(?P<character>\d+_[^/]+)/[^/]+")


class AnimeFace(Dataset, contract=1):
    """AnimeFace Character Dataset (nagadomi): 14 490 faces of 176 characters, 160 px, trained on at 96 px."""

    downloads: ClassVar[bool] = True

    max_unreadable: int = Field(default=10, ge=0)
    """Broken pictures that are skipped before the data set is refused."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """List the pictures in the archive, or the folder that it was unpacked to; characters are ordered by number."""
        if root is None:
            root = download_to / ARCHIVE
            download(TITLE, URL, root, md5=None)  # its author publishes none
        elif (root / ARCHIVE).is_file():
            root /= ARCHIVE
        files = open_files(root, download_to)
        names = sorted(files.names())
        found = [
            (name, m["character"])
            for name in names
            if is_visible(name) and is_picture(name) and (m := _PICTURE.fullmatch(name))
        ]
        if not found:
            shown = ", ".join(names[:3]) or "nothing"
            raise DataError(
                f"{files.place} is not {TITLE} as published: expected is one folder a character, named NUMBER_NAME "
                f"(such as 000_hatsune_miku/), with pictures in each; found is {shown}."
            )
        characters = sorted({character for _, character in found}, key=_number)
        labels = {character: label for label, character in enumerate(characters)}
        return FilePictures(
            "animeface",
            files,
            [name for name, _ in found],
            [labels[character] for _, character in found],
            class_names=tuple(character.partition("_")[2] for character in characters),
            max_unreadable=self.max_unreadable,
        )

    def default_side(self, pictures: Pictures) -> int:
        """96 pixels, as in the article."""
        return 96


def _number(character: str) -> tuple[int, str]:
    number, _, name = character.partition("_")
    return int(number), name
