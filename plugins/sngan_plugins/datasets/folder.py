"""Pictures of one's own: a folder or a zip archive."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sngan_cli.contracts import DataError, Dataset, Field, Pictures, UnreadablePictureError, UsageError
from sngan_plugins.datasets.decoding import decode, is_picture, known_suffixes, size_of

_LAYOUT = f"pictures ({known_suffixes()}), either all together or in one sub-folder a class"
_LARGEST = 256 * 2**20
"""Bytes that one entry of an archive may unpack to."""
_RATIO = 200
"""How much smaller than its content an archive entry of notable size may be."""
_NOTABLE = 16 * 2**20
_DEFAULT_SIDE = 64


class Folder(Dataset, contract=1):
    """A folder or zip archive of pictures, one sub-folder a class; without sub-folders, they are unlabelled."""

    max_unreadable: int = Field(default=100, ge=0)
    """Broken pictures that are skipped before the data set is refused."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """List the pictures under `root`, a folder or a zip archive; nothing is unpacked to disk."""
        if root is None:
            raise UsageError("The data set 'folder' needs --data-dir: a folder or a zip archive of pictures.")
        if not root.exists():
            raise DataError(f"The data folder {root} does not exist: give --data-dir a folder or a zip archive.")
        files: _Files = _InFolder(root) if root.is_dir() else _InZip(root)
        return FilePictures(files, str(root), self.max_unreadable)

    def default_side(self, pictures: Pictures) -> int:
        """The shorter side of the first picture that can be read, and 64 pixels at most."""
        assert isinstance(pictures, FilePictures)
        return min(pictures.first_side(), _DEFAULT_SIDE)


class FilePictures(Pictures):
    """Encoded pictures by path; the first folder of a path is its class, where there are folders."""

    def __init__(self, files: _Files, place: str, max_unreadable: int):
        self._files, self._place = files, place
        self.max_unreadable = max_unreadable
        self._paths = sorted(name for name in files.names() if _is_visible(name))
        if not self._paths:
            raise DataError(f"There are no pictures in {place}. Expected are {_LAYOUT}.")
        wrapping = _wrapping(self._paths)
        classes = [path.split("/")[wrapping] if path.count("/") > wrapping else None for path in self._paths]
        named = sorted({name for name in classes if name is not None})
        if named and None in classes:
            raise DataError(
                f"{place} holds both loose pictures (such as {self._paths[classes.index(None)]}) and folders of them "
                f"(such as {named[0]}/). Expected are {_LAYOUT}."
            )
        self.class_names = tuple(named) or None
        labels = {name: label for label, name in enumerate(named)}
        self._labels = [0 if name is None else labels[name] for name in classes]
        self.identity = f"folder {files.fingerprint(self._paths)}"

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """Path of the picture in its folder or archive."""
        return self._paths[index]

    def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
        """Decode one picture."""
        return decode(self._files.content(self._paths[index]), side), self._labels[index]

    def first_side(self) -> int:
        """Shorter side of the first picture whose header can be read; raises `DataError` where none can."""
        for path in self._paths:
            try:
                return min(size_of(self._files.content(path)))
            except UnreadablePictureError:
                continue
        raise DataError(f"None of the {len(self._paths)} pictures in {self._place} can be read.")


class _Files(ABC):
    """Named files that can be read from several threads."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """Every file that looks like a picture, by path with forward slashes."""

    @abstractmethod
    def content(self, name: str) -> bytes:
        """Bytes of a file; raises `UnreadablePictureError`."""

    @abstractmethod
    def fingerprint(self, names: list[str]) -> str:
        """SHA-256 of what identifies the content of the files."""


class _InFolder(_Files):
    def __init__(self, root: Path):
        self._root = root

    def names(self) -> Iterable[str]:
        try:
            return [p.relative_to(self._root).as_posix() for p in self._root.rglob("*") if is_picture(p.name)]
        except OSError as error:
            raise DataError(f"The data folder {self._root} cannot be read: {error.strerror}.") from error

    def content(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise UnreadablePictureError(error.strerror or str(error)) from error

    def fingerprint(self, names: list[str]) -> str:
        """Paths, sizes and times of change: reading every byte would take longer than decoding from the cache."""
        digest = hashlib.sha256()
        for name in names:
            status = (self._root / name).stat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return digest.hexdigest()


class _InZip(_Files):
    def __init__(self, path: Path):
        self._path = path
        self._local = threading.local()
        try:
            with zipfile.ZipFile(path) as archive:
                self._entries = {e.filename: e for e in archive.infolist() if not e.is_dir()}
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{path} is neither a folder nor a zip archive that can be read: {error}.") from error
        for name, entry in self._entries.items():
            if ".." in name.replace("\\", "/").split("/") or name.startswith(("/", "\\")) or name[1:2] == ":":
                raise DataError(f"The archive {path} is refused: its entry {name!r} points outside of it.")
            if is_picture(name) and entry.flag_bits & 1:
                raise DataError(
                    f"The archive {path} is encrypted ({name!r}): unpack it, and give --data-dir the folder."
                )

    def names(self) -> Iterable[str]:
        return [name for name in self._entries if is_picture(name)]

    def content(self, name: str) -> bytes:
        entry = self._entries[name]
        swollen = entry.file_size > _NOTABLE and entry.file_size > _RATIO * max(1, entry.compress_size)
        if entry.file_size > _LARGEST or swollen:
            raise UnreadablePictureError(f"it would unpack to {entry.file_size} bytes, like a decompression bomb")
        try:
            with self._archive().open(entry) as file:
                content = file.read(entry.file_size + 1)
        except Exception as error:  # a damaged archive fails in zlib, struct, CRC checks, ...
            raise UnreadablePictureError(f"{type(error).__name__}: {error}") from error
        if len(content) > entry.file_size:
            raise UnreadablePictureError("it unpacks to more bytes than the archive says, like a decompression bomb")
        return content

    def fingerprint(self, names: list[str]) -> str:
        digest = hashlib.sha256()
        for name in names:
            entry = self._entries[name]
            digest.update(f"{name}\0{entry.file_size}\0{entry.CRC}\0".encode())
        return digest.hexdigest()

    def _archive(self) -> zipfile.ZipFile:
        """One open archive a thread: reading moves the file's position."""
        if not hasattr(self._local, "archive"):
            self._local.archive = zipfile.ZipFile(self._path)
        archive: zipfile.ZipFile = self._local.archive
        return archive


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _wrapping(paths: list[str]) -> int:
    """How many folders wrap everything: each holds one folder and nothing else, down to the classes."""
    depth = 0
    while len({path.split("/", depth + 1)[depth] for path in paths}) == 1 and all(
        path.count("/") > depth + 1 for path in paths
    ):
        depth += 1
    return depth
