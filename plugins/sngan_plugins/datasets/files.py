"""Where encoded pictures lie: in a folder or an archive."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tarfile
import tempfile
import threading
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from sngan_cli.contracts import DataError, Pictures, UnreadablePictureError
from sngan_plugins.datasets.decoding import decode, size_of

_LARGEST = 256 * 2**20
"""Bytes that one entry of an archive may unpack to."""
_NOTABLE, _RATIO = 16 * 2**20, 200
"""How many times smaller an entry may be packed that unpacks to a notable number of bytes."""


def open_files(root: Path, unpack_to: Path) -> Files:
    """Look into a folder, a zip archive, or a tar archive (packed or not), which is unpacked under `unpack_to` first.

    Raises `DataError` for what is none of them, and for an archive with an entry that leaves its folder.
    """
    if root.is_dir():
        return _InFolder(root, unpack_to)
    try:
        tar = not zipfile.is_zipfile(root) and tarfile.is_tarfile(root)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"The archive {root} cannot be read: {reason}. Download or pack it again.") from error
    return _InFolder(_unpacked(root, unpack_to), unpack_to) if tar else _InZip(root)


def is_visible(name: str) -> bool:
    """Whether neither a file nor a folder around it is hidden."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def as_text(name: str) -> str:
    """A name with escapes for bytes that are no UTF-8 and for control characters, which a terminal would obey."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(ascii(letter)[1:-1] if unicodedata.category(letter) == "Cc" else letter for letter in text)


class FilePictures(Pictures):
    """Encoded pictures in files."""

    identity_covers_code = True  # resizing is versioned with sngan's cache

    def __init__(
        self,
        dataset: str,
        files: Files,
        paths: Sequence[str],
        labels: Sequence[int],
        *,
        class_names: Sequence[str] | None = None,
        max_unreadable: int = 0,
        remarks: Sequence[str] = (),
    ):
        """Take the paths of the pictures and, for each, its label; `dataset` names what makes them a data set."""
        self._files, self._paths, self._labels = files, paths, labels
        self.class_names, self.max_unreadable, self.remarks = class_names, max_unreadable, remarks
        self._sizes = np.zeros((len(paths), 2), np.int32)  # those that are known by now
        self._fingerprint = files.fingerprint(paths)
        self.identity = f"{dataset} {self._fingerprint}"

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """Path of the picture in its folder or archive."""
        return as_text(self._paths[index])

    def read(self, index: int, side: int) -> tuple[np.ndarray, int]:
        """Decode one picture."""
        pixels, self._sizes[index] = decode(self._files.content(self._paths[index]), side)
        return pixels, self._labels[index]

    def is_changed(self) -> bool:
        """Whether a file, or the archive, is another by now."""
        return self._files.is_changed(self._paths, self._fingerprint)

    def size(self, index: int) -> tuple[int, int] | None:
        """Width and height of one picture, from its header; None where that cannot be read."""
        if not self._sizes[index].all():
            with suppress(UnreadablePictureError):
                self._sizes[index] = size_of(self._files.content(self._paths[index]))
        width, height = self._sizes[index].tolist()
        return (width, height) if width else None

    def first_side(self) -> int:
        """Shorter side of the first picture whose header can be read; raises `DataError` where none can."""
        reasons = []
        for index, path in enumerate(self._paths):
            try:
                return min(size_of(self._files.content(path)))
            except UnreadablePictureError as error:
                reasons.append(f"{self.name(index)}: {error}")
        raise DataError(f"None of the pictures in {self._files.place} can be read, such as {'; '.join(reasons[:3])}.")


class Files(ABC):
    """Named files that can be read from several threads."""

    place: Path

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Every file and folder, by its path with forward slashes; that of a folder ends with one."""

    @abstractmethod
    def content(self, name: str) -> bytes:
        """Bytes of a file; raises `UnreadablePictureError`."""

    def is_lost(self, name: str) -> bool:
        """Whether it is a link to what cannot be had: a picture, or a folder of some."""
        return False

    @abstractmethod
    def fingerprint(self, names: Sequence[str]) -> str:
        """SHA-256 of what identifies the content of the files."""

    def is_changed(self, names: Sequence[str], fingerprint: str) -> bool:
        """Whether the files are others than when that fingerprint was taken."""
        return self.fingerprint(names) != fingerprint


class _InFolder(Files):
    def __init__(self, root: Path, notes: Path):
        self.place, self._notes = root, notes / "fingerprints"

    def names(self) -> Iterator[str]:
        def refuse(error: OSError) -> None:
            raise DataError(f"The data folder {error.filename} cannot be read: {error.strerror}.") from error

        for folder, folders, files in os.walk(self.place, onerror=refuse, followlinks=True):
            inside = Path(folder).relative_to(self.place).as_posix()
            prefix = "" if inside == "." else f"{inside}/"
            resolved = Path(folder).resolve()
            # A link to a folder around it would never end; hidden folders need not be searched.
            folders[:] = [
                f for f in folders if is_visible(f) and not resolved.is_relative_to(Path(folder, f).resolve())
            ]
            yield from (f"{prefix}{name}/" for name in folders)
            yield from (f"{prefix}{name}" for name in files)

    def content(self, name: str) -> bytes:
        path = self.place / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
                raise UnreadablePictureError("it is no regular file")
            if status.st_size > _LARGEST:
                raise UnreadablePictureError(f"its {status.st_size} bytes are far too many for a picture")
            return path.read_bytes()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and path.is_symlink():
                raise UnreadablePictureError(f"it is a link to {path.readlink()}, which is not there") from error
            raise UnreadablePictureError(error.strerror or str(error)) from error

    def is_lost(self, name: str) -> bool:
        path = self.place / name
        try:
            path.stat()
        except OSError:
            return path.is_symlink()
        return False

    def fingerprint(self, names: Sequence[str]) -> str:
        """Of names and contents. They are read once: the result is noted under what tells a change to the files."""
        seen = hashlib.sha256(os.fsencode(f"{self.place.resolve()}\0"))
        for name in names:
            try:
                status = (self.place / name).stat()
            except OSError:  # a dead link: an unreadable picture like others
                seen.update(os.fsencode(f"{name}\0\0"))
                continue
            seen.update(os.fsencode(f"{name}\0{_state(status)}\0"))
        note = self._notes / seen.hexdigest()
        with suppress(OSError, ValueError):
            noted = note.read_text(encoding="ascii")
            if re.fullmatch("[0-9a-f]{64}", noted):  # what a crash has left of a note may be anything
                return noted
        digest = hashlib.sha256()
        for name in names:
            digest.update(os.fsencode(f"{name}\0"))
            with suppress(UnreadablePictureError):
                digest.update(hashlib.sha256(self.content(name)).digest())
        with suppress(OSError):  # without the note it is done again the next time
            self._notes.mkdir(parents=True, exist_ok=True)
            partial = note.with_name(f".{note.name}.{os.getpid()}")
            partial.write_text(digest.hexdigest(), encoding="ascii")
            partial.replace(note)
        return digest.hexdigest()


class _InZip(Files):
    def __init__(self, path: Path):
        self.place = path
        self._local = threading.local()
        self._state_read = _state(path.stat())
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except Exception as error:  # a damaged archive fails in zipfile, struct, decoding of names, ...
            raise DataError(
                f"{path} is neither a folder nor a zip or tar archive that can be read ({error}): give the folder or "
                "archive that holds the pictures or, if it was cut off, delete it and download or pack it again."
            ) from error
        for entry in entries:
            _check_entry(path, entry)
        self._entries = {entry.filename.replace("\\", "/").removeprefix("./"): entry for entry in entries}

    def names(self) -> Iterator[str]:
        return iter(self._entries)

    def content(self, name: str) -> bytes:
        entry = self._entries[name]
        if self.is_lost(name):
            raise UnreadablePictureError("it is a link, and none is followed in a zip archive")
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

    def is_lost(self, name: str) -> bool:
        return stat.S_ISLNK(self._entries[name].external_attr >> 16)  # the mode, where Unix has packed it

    def fingerprint(self, names: Sequence[str]) -> str:
        """Names, sizes and checksums: the same archive elsewhere is the same data set."""
        digest = hashlib.sha256()
        for name in names:
            entry = self._entries[name]
            digest.update(f"{name}\0{entry.file_size}\0{entry.CRC}\0".encode())
        return digest.hexdigest()

    def is_changed(self, names: Sequence[str], fingerprint: str) -> bool:
        try:
            return _state(self.place.stat()) != self._state_read
        except OSError:
            return True

    def _archive(self) -> zipfile.ZipFile:
        """One open archive a thread: reading moves the file's position."""
        if not hasattr(self._local, "archive"):
            self._local.archive = zipfile.ZipFile(self.place)
        archive: zipfile.ZipFile = self._local.archive
        return archive


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    """What tells a change to a file."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


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


def _unpacked(archive: Path, unpack_to: Path) -> Path:
    """Unpack a tar archive, once for each state of it; a packed one has no index to read single pictures by."""
    state = f"{archive.resolve()}\0{_state(archive.stat())}"
    target = unpack_to / f"{archive.name}-{hashlib.sha256(os.fsencode(state)).hexdigest()[:12]}"
    if target.is_dir():
        return target
    try:
        unpack_to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=unpack_to) as partial, tarfile.open(archive) as packed:
            packed.extractall(Path(partial) / "files", filter="data")
            (Path(partial) / "files").rename(target)
    except tarfile.FilterError as error:
        raise DataError(f"The archive {archive} is refused: {error}. Pack it again without.") from error
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        if not target.is_dir():  # else another process was quicker
            raise DataError(f"The archive {archive} cannot be unpacked to {unpack_to}: {error}.") from error
    return target
