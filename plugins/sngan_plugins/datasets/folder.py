"""Pictures of one's own: a folder or an archive."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from sngan_cli.contracts import DataError, Dataset, Field, Pictures, UsageError
from sngan_plugins.datasets.decoding import SUFFIXES, is_picture
from sngan_plugins.datasets.files import FilePictures, Files, as_text, is_visible, open_files

_FORMATS = ", ".join(suffix[1:] for suffix in SUFFIXES)
_LAYOUT = f"pictures ({_FORMATS}), either all together or in one sub-folder a class"
_DEFAULT_SIDE = 64
_SPLITS = {"dev", "test", "testing", "train", "training", "val", "valid", "validation"}
"""What the parts of a data set are called, in lower case."""
_BY_PRODUCTS = {"desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db"}
"""What file managers leave, in lower case."""


class Folder(Dataset, contract=1):
    """A folder or archive of pictures, one sub-folder a class; without sub-folders, they are unlabelled."""

    max_unreadable: int = Field(default=100, ge=0)
    """Broken pictures that are skipped before the data set is refused."""

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        """List the pictures under `root`, a folder or a zip or tar archive; a zip archive is not unpacked."""
        if root is None:
            raise UsageError("The data set 'folder' needs --data-dir: a folder or an archive of pictures.")
        return by_sub_folder(open_files(root, download_to), self.max_unreadable)

    def default_side(self, pictures: Pictures) -> int:
        """The shorter side of the first picture that can be read, and 64 pixels at most."""
        assert isinstance(pictures, FilePictures)
        return min(pictures.first_side(), _DEFAULT_SIDE)


def by_sub_folder(files: Files, max_unreadable: int) -> FilePictures:
    """Take the sub-folders for the classes, each with all that lies below it.

    A folder that wraps everything else is looked through, so that an archive of a folder is read as the folder is. A
    dead link of any name may have been a class: it is one picture more, which cannot be read.
    """
    names = sorted(name for name in files.names() if is_visible(name))
    paths = [name for name in names if is_picture(name)]
    lost = [name for name in names if not is_picture(name) and files.is_lost(name)]
    others = _others({*names} - {*paths, *lost})
    if not paths:
        found = f", but {others}" if others else ""
        raise DataError(f"There are no pictures in {files.place}{found}. Expected are {_LAYOUT}.")
    wrapper, folders = _class_folders(paths, {name.rpartition("/")[0] for name in names})
    owners = [path[len(wrapper) :].partition("/")[0] if folders else "" for path in paths]
    if folders and (loose := [path for path, owner in zip(paths, owners, strict=True) if owner not in folders]):
        raise DataError(
            f"{files.place} holds both loose pictures (such as {loose[0]}) and folders of them (such as "
            f"{wrapper}{folders[0]}/): choose one of the two. Expected are {_LAYOUT}."
        )
    if empty := sorted(set(folders) - set(owners)):  # ignored, it would silently leave a class out
        raise DataError(
            f"The folder {wrapper}{empty[0]}/ in {files.place} holds no pictures, but every sub-folder is a class: "
            "put pictures there, or remove it."
        )
    written: dict[str, str] = {}
    for name in folders:
        if (other := written.setdefault(as_text(name), name)) != name:
            raise DataError(
                f"The folders {other!r} and {name!r} in {files.place} are both written {as_text(name)!r}: rename one."
            )
    labels = {name: label for label, name in enumerate(folders)}
    return FilePictures(
        "folder",
        files,
        [*paths, *lost],
        [labels.get(owner, 0) for owner in owners] + [0] * len(lost),
        class_names=tuple(map(as_text, folders)) or None,
        max_unreadable=max_unreadable,
        remarks=_remarks(others, folders),
    )


def _remarks(others: str, folders: Sequence[str]) -> list[str]:
    """What should be known of a data set with these other files and folders of classes."""
    found = []
    if others:
        found.append(f"Passed over {others}: read are {_FORMATS}.")
    if folders and _SPLITS.issuperset(map(str.lower, folders)):
        found.append(
            f"The folders {', '.join(folders)} are taken for classes: to train on one part of the data, give it to "
            "--data-dir."
        )
    return found


def _others(names: Collection[str]) -> str:
    """How many files there are that are no pictures, such as which; nothing where there is none worth telling of."""
    found = sorted(n for n in names if not n.endswith("/") and n.rpartition("/")[2].lower() not in _BY_PRODUCTS)
    kind = "file of another kind" if len(found) == 1 else "files of other kinds"
    return f"{len(found)} {kind}, such as {as_text(found[0])}" if found else ""


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
