"""Extractors that were trained here, one folder each, and the names that stand for them.

$SNGAN_HOME/extractors/NAME/
    weights.safetensors
    manifest.json    what they were trained on and how, how good they are, and the weights' SHA-256
"""

from __future__ import annotations

import dataclasses
import errno
import json
import shlex
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sngan_cli.catalog import Catalog
from sngan_cli.disk import flush, move, sweep
from sngan_cli.errors import ComponentError, NotFoundError, SnganError, UsageError, did_you_mean, no_such
from sngan_cli.home import extractors_folder, real_path, trash_folder
from sngan_cli.stopping import StopSignal
from sngan_cli.wording import shortened

FORMAT = 1
WEIGHTS, MANIFEST = "weights.safetensors", "manifest.json"
_TIME_IN_TRASH = "%Y%m%dT%H%M%S%f"
_RESTORE = ("sngan", "extractors", "restore")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that is known of a trained extractor.

    `extractor` and `dataset` are tables: a name and the options beside it. `images` were trained on, `held_out` others
    measured the `accuracy`, which luck alone brings to `chance` (`classifier.chance`); `seconds` is the time that
    training took; `weights_size` is in bytes.
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
    chance: float | None = None
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


@dataclass(frozen=True)
class Discarded:
    """An extractor in the trash; the SHA-256 is None where its manifest cannot be read."""

    name: str
    path: Path
    removed: datetime
    weights_sha256: str | None


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
        check_not_removed(name)
        raise NotFoundError(no_such("trained extractor", name, known))
    path = folder_of(name) / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        written = values.pop("format")
        if written != FORMAT:
            raise ComponentError(f"{path} has the format {written!r}, not {FORMAT}: install the sngan that wrote it.")
        manifest = Manifest(**{**values, "name": name, "class_names": tuple(values["class_names"])})
        _check_types(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ComponentError(
            f"The manifest {path} cannot be read: {_fault(error)}. Restore it from a copy, train the extractor again "
            f"with --replace, or remove it with `sngan extractors rm {shlex.quote(name)}`."
        ) from error
    return manifest


def _check_types(manifest: Manifest) -> None:
    """Raise `TypeError`, `KeyError` or `ValueError` where a manifest has something else than what is worked with."""
    datetime.fromisoformat(manifest.created)
    texts = [manifest.extractor["name"], manifest.dataset["name"], manifest.distribution, manifest.version]
    texts += [manifest.weights_sha256, manifest.data_sha256, *manifest.class_names]
    numbers = (manifest.accuracy, manifest.side, manifest.classes, manifest.images, manifest.held_out, manifest.seconds)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(each, int | float) for each in numbers):
        raise TypeError
    if not isinstance(manifest.environment, Mapping):
        raise TypeError


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
        check_not_removed(name)
        catalog.load("extractor", name, others=trained)  # says that there is none, and what is like it
    manifest = read(name)
    options = {key: value for key, value in manifest.extractor.items() if key != "name"}
    trained_as = _told(folder_of(name)).get("name", name)  # scores bear it, whatever the folder is called by now
    weights = {"trained": trained_as, "weights": str(folder_of(name) / WEIGHTS), "sha256": manifest.weights_sha256}
    return str(manifest.extractor["name"]), {**options, **weights}


def found_again(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a trained extractor, led to its weights where they lie now: they may have moved since a run's start.

    Weights with the same SHA-256 in their manifest, under any name, take the place of those that are gone or replaced.
    """
    if not _are_lost(options):
        return dict(options)
    here = _with_weights(options["sha256"], options.get("trained"))
    return {**options, "weights": str(folder_of(here) / WEIGHTS)} if here else dict(options)


def accuracy_of(options: Mapping[str, Any]) -> tuple[float, float | None] | None:
    """Accuracy of a trained extractor on held-out pictures, and what luck may make of it, by the manifest beside it.

    None where there is no manifest of these weights.
    """
    if options.get("weights") is None or options.get("sha256") is None:
        return None
    told = _told(Path(options["weights"]).parent)
    if told.get("weights_sha256") != options["sha256"]:
        return None
    try:
        return float(told["accuracy"]), None if told.get("chance") is None else float(told["chance"])
    except (KeyError, TypeError, ValueError):
        return None


def as_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a trained extractor, led to weights where the user says; raises `NotFoundError` where none are."""
    if options.get("trained") is None:
        return dict(options)
    path = real_path(str(options["weights"]))
    if not path.is_file():
        raise NotFoundError(
            f"extractor.weights = {str(options['weights'])!r} names no file: give the weights of the extractor "
            f"{options['trained']!r}, whose SHA-256 begins {options['sha256'][:8]}, or leave it out."
        )
    return {**options, "weights": str(path)}


def check_there(options: Mapping[str, Any]) -> None:
    """Raise `ComponentError` where the weights of a trained extractor were removed or replaced, and say the way back.

    Whether the file is the one that it was, only its reader finds out.
    """
    if options.get("trained") is None or not _are_lost(options):
        return
    folder = Path(options["weights"]).parent
    if _sha256_in(folder) == options["sha256"]:
        raise ComponentError(
            f"The weights {options['weights']} of the extractor {folder.name!r} are gone: put the file whose SHA-256 "
            f"begins {options['sha256'][:8]} back from a copy, or train the extractor again."
        )
    raise ComponentError(f"{_lost(options['trained'], options['sha256'])}.")


def called_here(trained_as: str, weights: str) -> str:
    """What the extractor that was trained under a name is called here, by how its weights' SHA-256 begins.

    Raises `ComponentError` where it does not lie here, and says the way back.
    """
    if here := _with_weights(weights, trained_as):
        return here
    if trained_as in names():
        read(trained_as)  # says so where its manifest is damaged
    raise ComponentError(f"{_lost(trained_as, weights)}.")


def check_not_removed(name: str) -> None:
    """Raise `NotFoundError` where an extractor of that name, of which there is none here, lies in the trash."""
    if any(each.name == name for each in discarded()):
        back = shlex.join([*_RESTORE, name])
        raise NotFoundError(f"The extractor {name!r} was removed: `{back}` gets it back.")


def _are_lost(options: Mapping[str, Any]) -> bool:
    """Whether the weights that options lead to are gone, or are others by the manifest that lies beside them."""
    if options.get("weights") is None or options.get("sha256") is None:
        return False
    path = Path(options["weights"])
    return not path.exists() or _sha256_in(path.parent) not in (None, options["sha256"])


def _lost(name: str, weights: str) -> str:
    """What became of an extractor whose weights' SHA-256 begins so, and how to get it back, under any name."""
    is_taken = folder_of(name).exists()
    known = sorted(discarded(), key=lambda each: (each.name == name, each.removed))
    found = next((each for each in reversed(known) if (each.weights_sha256 or "").startswith(weights)), None)
    what = "was replaced by another" if is_taken else "was removed" if found else "does not lie here"
    said = f"The extractor {name!r} with the weights {weights[:8]} {what}"
    if found is None:
        return f"{said}: copy its folder, under any name, from where it is kept to {extractors_folder()}"
    return f"{said} and lies in {found.path}: `{way_back(found)}` gets it back"


def way_back(found: Discarded) -> str:
    """The command that gets this one back from the trash, by its own name or a like one.

    It names the weights, as another of that name may go to the trash until it is given.
    """
    weights = (found.weights_sha256 or "")[:8]
    target = f"{found.name}-{weights or 'before'}" if folder_of(found.name).exists() else found.name
    which = ["--weights", weights] if weights else []
    return shlex.join([*_RESTORE, found.name, *which, *(["--as", target] if target != found.name else [])])


def _with_weights(sha256: str, first: str | None) -> str | None:
    """An extractor here whose weights' SHA-256 begins so, the one called `first` where it is one of several."""
    here = [name for name in names() if sha256 and (_sha256_in(folder_of(name)) or "").startswith(sha256)]
    return min(here, key=lambda name: name != first, default=None)


def _sha256_in(folder: Path) -> str | None:
    """The weights' SHA-256 by the manifest in a folder, None where it cannot be read."""
    found = _told(folder).get("weights_sha256")
    return found if isinstance(found, str) else None


def _told(folder: Path) -> dict[str, Any]:
    """What the manifest in a folder says, nothing where it cannot be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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
        sweep(partial.parent)
    except OSError as error:
        raise UsageError(
            f"The folder of extractors {partial.parent} cannot be written: {error.strerror}. Set SNGAN_HOME to a "
            "folder that can."
        ) from error
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, manifest: Manifest, *, replace: bool) -> tuple[Manifest, Discarded | None]:
    """Add the manifest to a folder that holds the weights, and move it into place, whole.

    Where another extractor has taken the name meanwhile, a part of the weights' SHA-256 is added to that of this one.
    Returns the manifest by the name that it lies here under, and the extractor that it replaces, which is in the trash
    then, if there was one.
    """
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1, ensure_ascii=False)
    (partial / MANIFEST).write_text(f"{text}\n", encoding="utf-8")
    for path in (partial / WEIGHTS, partial / MANIFEST, partial):
        flush(path)
    target = folder_of(manifest.name)
    with StopSignal():  # a signal between the two moves would leave neither extractor in its place
        old = _discarded_now(manifest.name) if replace else None
        try:
            name = _move_in(partial, manifest)
        except OSError as error:
            if old is not None:
                old.path.rename(target)
            raise UsageError(f"The extractor could not be moved to {target}: {error.strerror}.") from error
    flush(target.parent)
    return dataclasses.replace(manifest, name=name), old


def _discarded_now(name: str) -> Discarded | None:
    """Move an extractor to the trash, if it is there: another process may have done so a moment ago."""
    try:
        return discard(name)
    except SnganError:
        if folder_of(name).exists():
            raise
        return None


def _move_in(partial: Path, manifest: Manifest) -> str:
    """Move a folder to its name, or to a like one where that is taken; returns which."""
    try:
        partial.rename(folder_of(manifest.name))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        other = f"{manifest.name}-{manifest.weights_sha256[:8]}"
        partial.rename(folder_of(other))
        return other
    return manifest.name


def discard(name: str) -> Discarded:
    """Move an extractor to the trash; returns how it lies there."""
    now = datetime.now(UTC)
    path = move(folder_of(name), trash_folder() / f"extractor-{name}-{now:{_TIME_IN_TRASH}}")
    return Discarded(name, path, now, _sha256_in(path))


def restore(name: str, weights: str = "", called: str | None = None) -> tuple[Discarded, list[Discarded]]:
    """Get the extractor of that name back that was discarded last, `called` so from now on (default: as it was).

    Only one whose weights' SHA-256 begins with `weights` is taken. Returns what it was, and others of that name that
    stay discarded. Raises `NotFoundError` where there is none in the trash, and `UsageError` where one of that name is
    here.
    """
    known = list(discarded())
    of_name = sorted((each for each in known if each.name == name), key=lambda each: each.removed)
    if not of_name:
        near = f".{did_you_mean(name, [each.name for each in known])}" if known else ", nor any other."
        raise NotFoundError(f"There is no extractor {shortened(name)!r} in the trash{near}")
    found = [each for each in of_name if (each.weights_sha256 or "").startswith(weights.lower())]
    if not found:
        there = ", ".join((each.weights_sha256 or "unknown")[:8] for each in of_name)
        raise NotFoundError(
            f"No extractor {name!r} in the trash has weights {shortened(weights)!r}: those there have {there}."
        )
    if (target := folder_of(called or name)).exists():
        raise UsageError(
            f"There is an extractor {called or name!r} already, in {target}: give another name with --as, or remove it "
            f"first with `sngan extractors rm {shlex.quote(called or name)}`."
        )
    move(found[-1].path, target)
    return found[-1], [each for each in of_name if each is not found[-1]]


def discarded() -> Iterator[Discarded]:
    """The extractors in the trash."""
    for path in sorted(trash_folder().glob("extractor-*")):
        name, _, time = path.name.removeprefix("extractor-").rpartition("-")
        with suppress(ValueError):  # something that the user put there
            removed = datetime.strptime(time, _TIME_IN_TRASH).replace(tzinfo=UTC)
            yield Discarded(name, path, removed, _sha256_in(path))


def to_json(manifest: Manifest) -> dict[str, Any]:
    """A manifest as plain values, with its folder."""
    return {**vars(manifest), "path": str(folder_of(manifest.name))}
