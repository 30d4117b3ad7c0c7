"""Extractors that were trained here, one folder each, and the names that stand for them.

$SNGAN_HOME/extractors/NAME/
    weights.safetensors
    manifest.json    what they were trained on and how, how good they are, and the weights' SHA-256
"""

from __future__ import annotations

import json
import shlex
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sngan_cli.catalog import Catalog
from sngan_cli.disk import flush, move
from sngan_cli.errors import ComponentError, NotFoundError, UsageError, no_such
from sngan_cli.home import extractors_folder, trash_folder
from sngan_cli.stopping import StopSignal
from sngan_cli.wording import shortened

FORMAT = 1
WEIGHTS, MANIFEST = "weights.safetensors", "manifest.json"
_TIME_IN_TRASH = "%Y%m%dT%H%M%S%f"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that is known of a trained extractor.

    `extractor` and `dataset` are tables: a name and the options beside it. `images` were trained on, `held_out` others
    measured the `accuracy`; `seconds` is the time that training took; `weights_size` is in bytes.
    """

    name: str
    extractor: Mapping[str, Any]
    distribution: str
    version: str
    dataset: Mapping[str, Any]
    data_dir: str | None
    data_sha256: str
    side: int
    classes: int
    class_names: tuple[str, ...]
    images: int
    held_out: int
    accuracy: float
    epochs: int
    batch_size: int
    lr: float
    flip: bool
    cutout: int = 0
    seed: int
    precision: str
    seconds: float
    created: str
    environment: Mapping[str, Any]
    weights_sha256: str
    weights_size: int | None = None


def names() -> list[str]:
    """The trained extractors, in order."""
    folder = extractors_folder()
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def folder_of(name: str) -> Path:
    """Where the extractor of that name lies, or would."""
    return extractors_folder() / name


def read(name: str) -> Manifest:
    """Read an extractor's manifest.

    Raises `NotFoundError` where there is no extractor of that name, and `ComponentError` where its manifest is damaged.
    """
    known = names()
    if name not in known:
        raise NotFoundError(no_such("trained extractor", name, known))
    path = folder_of(name) / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        written = values.pop("format")
        if written != FORMAT:
            raise ComponentError(f"{path} has the format {written!r}, not {FORMAT}: install the sngan that wrote it.")
        manifest = Manifest(**{**values, "name": name, "class_names": tuple(values["class_names"])})
        str(manifest.extractor["name"]), str(manifest.dataset["name"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ComponentError(
            f"The manifest {path} cannot be read: {_fault(error)}. Restore it from a copy, train the extractor again "
            f"with --replace, or remove it with `sngan extractors rm {shlex.quote(name)}`."
        ) from error
    return manifest


def _fault(error: Exception) -> str:
    """What is wrong with a manifest that cannot be read."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, json.JSONDecodeError):
        return f"it is no whole JSON, from line {error.lineno} on"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    return "it lacks what a manifest says, or says something else"


def resolve(name: str, catalog: Catalog) -> tuple[str, dict[str, Any]]:
    """Turn the name of an extractor into that of a component and the options that lead it to its weights.

    A component's own name stands for itself. Raises `NotFoundError` where nothing bears the name.
    """
    if name in catalog.names("extractor"):
        return name, {}
    trained = names()
    if name not in trained:
        catalog.load("extractor", name, others=trained)  # says that there is none, and what is like it
    manifest = read(name)
    options = {key: value for key, value in manifest.extractor.items() if key != "name"}
    weights = {"trained": name, "weights": str(folder_of(name) / WEIGHTS), "sha256": manifest.weights_sha256}
    return str(manifest.extractor["name"]), {**options, **weights}


def found_again(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a trained extractor, led to its weights where they lie now: they may have moved since a run's start.

    Only a file under the same name and with the same SHA-256 in its manifest takes the place of one that is gone.
    """
    name, weights = options.get("trained"), options.get("weights")
    if weights is None or Path(weights).exists() or name not in names():
        return dict(options)
    if read(name).weights_sha256 != options.get("sha256"):
        return dict(options)
    return {**options, "weights": str(folder_of(name) / WEIGHTS)}


def check_name(name: str, catalog: Catalog, *, replace: bool) -> None:
    """Raise `UsageError` where a new extractor cannot be called `name`."""
    bad = [letter for letter in name if letter in "/\\" or not letter.isprintable()]
    if not name.strip() or name != name.strip() or name[0] in ".-@" or bad or len(name.encode(errors="replace")) > 100:
        raise UsageError(
            f"An extractor cannot be called {shortened(name)!r}: a name has 1 to 100 bytes, no slashes, control "
            "characters or spaces around it, and begins with none of . - @"
        )
    if name in catalog.names("extractor"):
        raise UsageError(f"There is an installed extractor {name!r}, which would hide yours: choose another name.")
    if folder_of(name).exists() and not replace:
        raise UsageError(
            f"There is an extractor {name!r} already, in {folder_of(name)}: choose another name, or give --replace to "
            "move it to the trash."
        )


@contextmanager
def new_folder(name: str) -> Iterator[Path]:
    """A folder to fill beside the others; what is left of it at the end is removed.

    Raises `UsageError` where it cannot be made.
    """
    partial = extractors_folder() / f".{name}.{uuid.uuid4().hex}.partial"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"The folder of extractors {partial.parent} cannot be written: {error.strerror}. Set SNGAN_HOME to a "
            "folder that can."
        ) from error
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, manifest: Manifest, *, replace: bool) -> Path | None:
    """Add the manifest to a folder that holds the weights, and move it into place, whole.

    Returns where in the trash the extractor went that it replaces, if there was one.
    """
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1, ensure_ascii=False)
    (partial / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
    for path in (partial / WEIGHTS, partial / MANIFEST, partial):
        flush(path)
    target = folder_of(manifest.name)
    with StopSignal():  # a signal between the two moves would leave neither extractor in its place
        old = discard(manifest.name) if replace and target.exists() else None
        try:
            partial.rename(target)
        except OSError as error:
            if old is not None:
                old.rename(target)
            raise UsageError(
                f"The extractor could not be moved to {target}: {error.strerror}. Is another one trained under that "
                "name?"
            ) from error
    flush(target.parent)
    return old


def discard(name: str) -> Path:
    """Move an extractor to the trash; returns where it lies there."""
    return move(folder_of(name), trash_folder() / f"extractor-{name}-{datetime.now(UTC):{_TIME_IN_TRASH}}")


def restore(name: str) -> tuple[Path, list[Path]]:
    """Get the extractor of that name back that was discarded last; returns its folder, and others that stay discarded.

    Raises `UsageError` where one of that name is there, and `NotFoundError` where none is in the trash.
    """
    if (target := folder_of(name)).exists():
        raise UsageError(
            f"There is an extractor {name!r} already, in {target}: remove it with `sngan extractors rm "
            f"{shlex.quote(name)}`, or rename that folder, first."
        )
    known = list(discarded())
    of_name = [path for called, path, _ in sorted(known, key=lambda each: each[2]) if called == name]
    if not of_name:
        raise NotFoundError(no_such("extractor in the trash", name, [called for called, _, _ in known]))
    return move(of_name[-1], target), of_name[:-1]


def discarded() -> Iterator[tuple[str, Path, datetime]]:
    """Name, place and time of removal of each extractor in the trash."""
    for path in sorted(trash_folder().glob("extractor-*")):
        name, _, time = path.name.removeprefix("extractor-").rpartition("-")
        with suppress(ValueError):  # something that the user put there
            yield name, path, datetime.strptime(time, _TIME_IN_TRASH).replace(tzinfo=UTC)


def to_json(manifest: Manifest) -> dict[str, Any]:
    """A manifest as plain values, with its folder."""
    values = {field.name: getattr(manifest, field.name) for field in fields(manifest)}
    return {**values, "path": str(folder_of(manifest.name))}
