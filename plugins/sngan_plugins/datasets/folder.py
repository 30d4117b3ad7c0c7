"""Pictures of one's own: a folder or a zip archive."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from sngan_cli.contracts import DataError, Dataset, Field, Pictures, UnreadablePictureError, UsageError
from sngan_plugins.datasets.decoding import SUFFIXES, decode, size_of

_LAYOUT = f"pictures ({', '.join(suffix[1:] for suffix in SUFFIXES)}), either all together or in one sub-folder a class"
_LARGEST = 256 * 2**20
"""Bytes that one entry of an archive may unpack to."""
_NOTABLE, _RATIO = 16 * 2**20, 200
"""How many times smaller an entry may be packed that unpacks to a notable number of bytes."""
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
        return FilePictures(_InFolder(root) if root.is_dir() else _InZip(root), self.max_unreadable)

    def default_side(self, pictures: Pictures) -> int:
        """The shorter side of the first picture that can be read, and 64 pixels at most."""
        assert isinstance(pictures, FilePictures)
        return min(pictures.first_side(), _DEFAULT_SIDE)


class FilePictures(Pictures):
    """Encoded pictures, ordered by path. The sub-folders are the classes, each with all that lies below it.

    A folder that wraps everything else is looked through, so that an archive of a folder is read as the folder is.
    """

    def __init__(self, files: _Files, max_unreadable: int):
        names = sorted(name for name in files.names() if _is_visible(name))
        self._files, self._paths = files, [name for name in names if name.lower().endswith(SUFFIXES)]
        if not self._paths:
            raise DataError(f"There are no pictures in {files.place}. Expected are {_LAYOUT}.")
        wrapper, folders = _class_folders(self._paths, {name.rpartition("/")[0] for name in names})
        owners = [path[len(wrapper) :].partition("/")[0] if folders else "" for path in self._paths]
        if folders and (
            loose := [path for path, owner in zip(self._paths, owners, strict=True) if owner not in folders]
        ):
            raise DataError(
                f"{files.place} holds both loose pictures (such as {loose[0]}) and folders of them (such as "
                f"{wrapper}{folders[0]}/): choose one of the two. Expected are {_LAYOUT}."
            )
        if empty := sorted(set(folders) - set(owners)):  # ignored, it would silently leave a class out
            raise DataError(
                f"The folder {wrapper}{empty[0]}/ in {files.place} holds no pictures, but every sub-folder is a class: "
                "put pictures there, or remove it."
            )
        self.max_unreadable = max_unreadable
        self.class_names = folders or None
        labels = {name: label for label, name in enumerate(folders)}
        self._labels = [labels.get(owner, 0) for owner in owners]
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
        raise DataError(f"None of the {len(self._paths)} pictures in {self._files.place} can be read.")


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _class_folders(paths: Sequence[str], folders: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Find what wraps all `paths` ("" or "folder/") and the sub-folders in it; none where the pictures lie loose."""
    wrapper = ""
    while True:
        inside = {f[len(wrapper) :].partition("/")[0] for f in folders if f.startswith(wrapper)} - {""}
        owned = sum("/" in path[len(wrapper) :] for path in paths)
        if owned == len(paths) and len(inside) == 1:
            wrapper += f"{inside.pop()}/"
        else:
            return wrapper, tuple(sorted(inside)) if owned else ()


class _Files(ABC):
    """Named files that can be read from several threads."""

    place: Path

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Every file and folder, by its path with forward slashes; that of a folder ends with one."""

    @abstractmethod
    def content(self, name: str) -> bytes:
        """Bytes of a file; raises `UnreadablePictureError`."""

    @abstractmethod
    def fingerprint(self, names: Sequence[str]) -> str:
        """SHA-256 of what identifies the content of the files."""


class _InFolder(_Files):
    def __init__(self, root: Path):
        self.place = root

    def names(self) -> Iterator[str]:
        def refuse(error: OSError) -> None:
            raise DataError(f"The data folder {error.filename} cannot be read: {error.strerror}.") from error

        for folder, folders, files in os.walk(self.place, onerror=refuse, followlinks=True):
            inside = Path(folder).relative_to(self.place).as_posix()
            prefix = "" if inside == "." else f"{inside}/"
            resolved = Path(folder).resolve()
            # A link to a folder around it would never end; hidden folders need not be searched.
            folders[:] = [
                f for f in folders if _is_visible(f) and not resolved.is_relative_to(Path(folder, f).resolve())
            ]
            yield from (f"{prefix}{name}/" for name in folders)
            yield from (f"{prefix}{name}" for name in files)

    def content(self, name: str) -> bytes:
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise UnreadablePictureError(error.strerror or str(error)) from error

    def fingerprint(self, names: Sequence[str]) -> str:
        """Paths, sizes and times of change: reading every byte would take longer than training takes to start."""
        digest = hashlib.sha256()
        for name in names:
            try:
                status = (self.place / name).stat()
                digest.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0"))
            except OSError:  # a dead link: an unreadable picture like others
                digest.update(os.fsencode(f"{name}\0\0\0"))
        return digest.hexdigest()


class _InZip(_Files):
    def __init__(self, path: Path):
        self.place = path
        self._local = threading.local()
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except Exception as error:  # a damaged archive fails in zipfile, struct, decoding of names, ...
            raise DataError(f"{path} is neither a folder nor a zip archive that can be read: {error}.") from error
        for entry in entries:
            _check_entry(path, entry)
        self._entries = {entry.filename.replace("\\", "/"): entry for entry in entries}

    def names(self) -> Iterator[str]:
        return iter(self._entries)

    def content(self, name: str) -> bytes:
        entry = self._entries[name]
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile unpacks others unbounded
            raise UnreadablePictureError("it is packed by another method than deflate")
        swollen = entry.file_size > _NOTABLE and entry.file_size > _RATIO * entry.compress_size
        if entry.file_size > _LARGEST or swollen:
            raise UnreadablePictureError(f"it would unpack to {entry.file_size} bytes, like a decompression bomb")
        try:
            with self._archive().open(entry) as file:
                return file.read(entry.file_size)  # zipfile stops there too, and checks the CRC-32
        except Exception as error:  # a damaged archive fails in zlib, struct, CRC checks, ...
            raise UnreadablePictureError(f"{type(error).__name__}: {error}") from error

    def fingerprint(self, names: Sequence[str]) -> str:
        """Names, sizes and checksums: the same archive elsewhere is the same data set."""
        digest = hashlib.sha256()
        for name in names:
            entry = self._entries[name]
            digest.update(f"{name}\0{entry.file_size}\0{entry.CRC}\0".encode())
        return digest.hexdigest()

    def _archive(self) -> zipfile.ZipFile:
        """One open archive a thread: reading moves the file's position."""
        if not hasattr(self._local, "archive"):
            self._local.archive = zipfile.ZipFile(self.place)
        archive: zipfile.ZipFile = self._local.archive
        return archive


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    """Refuse an archive with an entry that leaves the folder it is unpacked to, or that is encrypted."""
    name = entry.filename.replace("\\", "/")
    absolute = name.startswith("/") or (name[1:2] == ":" and name[0].isalpha())
    if absolute or (".." in name and ".." in name.split("/")):
        raise DataError(
            f"The archive {path} is refused: its entry {entry.filename!r} points outside of it. Pack it again without."
        )
    if entry.flag_bits & 0x1:
        raise DataError(
            f"The archive {path} is encrypted ({entry.filename!r}): unpack it, and give --data-dir the folder."
        )
