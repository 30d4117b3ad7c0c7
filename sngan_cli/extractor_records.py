"""Trained extractors as the registry knows them, beside the folders that are here.

A registry may be shared: it knows of extractors that lie on other machines, and folders may have been copied here from
where another registry is kept.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sngan_cli import paths, trained_extractors
from sngan_cli.disk import sha256_of
from sngan_cli.errors import ComponentError
from sngan_cli.home import extractors_folder
from sngan_cli.trained_extractors import WEIGHTS, Manifest
from sngan_registry import ExtractorRecord, Store


class State(StrEnum):
    """How an extractor stands: what lies here, and what the registry says of it."""

    HERE = "here"
    CHANGED = "changed"
    DAMAGED = "damaged"
    UNRECORDED = "unrecorded"
    RENAMED = "renamed"
    ELSEWHERE = "elsewhere"
    GONE = "gone"

    @property
    def has_folder(self) -> bool:
        """Whether there is a folder of it here."""
        return self not in (State.ELSEWHERE, State.GONE)

    @property
    def is_fault(self) -> bool:
        """Whether it cannot be used until something is put right."""
        return self in (State.CHANGED, State.DAMAGED, State.GONE)


@dataclass(frozen=True)
class Standing:
    """One trained extractor: the values of its manifest with the `path` of its folder, and a remark where one is due.

    `record` is the registry's, under the name that it had then, None where that knows nothing of it.
    """

    name: str
    state: State
    values: Mapping[str, Any] | None
    record: ExtractorRecord | None
    remark: str | None = None


def record(store: Store, manifest: Manifest, replaced: Iterable[ExtractorRecord] = ()) -> None:
    """Record the extractor that lies here under the manifest's name, and that it replaced others."""
    for old in replaced:
        store.extractors.remove(old)
    store.extractors.add(
        ExtractorRecord(
            name=manifest.name,
            weights_sha256=manifest.weights_sha256,
            manifest=asdict(manifest),
            host=socket.gethostname(),
            path=str(trained_extractors.folder_of(manifest.name)),
            created=datetime.fromisoformat(manifest.created),
        )
    )


def survey(records: Iterable[ExtractorRecord]) -> list[Standing]:
    """How every trained extractor stands, by name; weights are looked at by their size alone."""
    present = {(each.name, each.weights_sha256): each for each in records if each.removed is None}
    found = []
    for name in trained_extractors.names():
        standing = _of_folder(name, list(present.values()))
        found.append(standing)
        if standing.record is not None:
            del present[standing.record.name, standing.record.weights_sha256]
    return sorted([*found, *map(_without_folder, present.values())], key=lambda standing: standing.name)


def verified(standing: Standing, digest: Callable[[Path], str] = sha256_of) -> Standing:
    """The same, its weights compared with the manifest's SHA-256; `digest` takes that of a file."""
    if standing.state not in (State.HERE, State.UNRECORDED, State.RENAMED) or standing.values is None:
        return standing
    path, wanted = Path(standing.values["path"]) / WEIGHTS, standing.values["weights_sha256"]
    found = digest(path)
    return standing if found == wanted else _changed(standing, f"{path} has the SHA-256 {found}, not {wanted}")


def restored(store: Store, name: str, called: str) -> None:
    """Record that an extractor that was removed by that name lies here again, `called` so, if the registry knew it.

    Raises `ComponentError` where its manifest cannot be read: it stays as it was recorded then.
    """
    manifest = trained_extractors.read(called)
    same = (name, manifest.weights_sha256)
    if any((each.name, each.weights_sha256) == same and each.removed for each in store.extractors.all()):
        record(store, manifest)


def runs_by(store: Store, weights_sha256: Collection[str]) -> list[str]:
    """Ids of the runs that are scored by extractors of such weights, newest first."""
    scored = {score.run_id for score in store.run_scores() if score.evidence.get("weights_sha256") in weights_sha256}
    return [
        summary.run.id
        for summary in store.summaries()
        if summary.run.id in scored or (summary.run.config.get("extractor") or {}).get("sha256") in weights_sha256
    ]


def going_with(name: str, records: Iterable[ExtractorRecord]) -> list[ExtractorRecord]:
    """Records that go with the folder of that name here, or whose folder is gone.

    The folder may be seen from several hosts. Of a copy elsewhere, the record stays.
    """
    found, here = [], str(trained_extractors.folder_of(name))
    for standing in survey(records):
        known = standing.record
        if known is None or standing.name != name or standing.state is State.ELSEWHERE:
            continue
        if known.path == here or _is_gone(known):
            found.append(known)
    return found


def _of_folder(name: str, present: Iterable[ExtractorRecord]) -> Standing:
    try:
        manifest = trained_extractors.read(name)
    except ComponentError as error:
        place = (socket.gethostname(), str(trained_extractors.folder_of(name)))
        known = next((each for each in present if (each.host, each.path) == place and each.name == name), None)
        values = None if known is None else {**known.manifest, "path": known.path}
        return Standing(name, State.DAMAGED, values, known, str(error))
    key = (name, manifest.weights_sha256)
    known = next((each for each in present if (each.name, each.weights_sha256) == key), None)
    standing = Standing(name, State.HERE, trained_extractors.to_json(manifest), known)
    if fault := _fault(trained_extractors.folder_of(name) / WEIGHTS, manifest.weights_size):
        return _changed(standing, fault)
    if known is None:
        before = next((r for r in present if r.weights_sha256 == manifest.weights_sha256 and _is_gone(r)), None)
        if before is not None:
            return _renamed(standing, before)
        say = (
            f"The registry {paths.registry_name()} does not know the extractor {name!r}, which works all the same: "
            f"`sngan extractors register {shlex.quote(name)}` records it."
        )
        return replace(standing, state=State.UNRECORDED, remark=say)
    return standing


def _without_folder(known: ExtractorRecord) -> Standing:
    values = {**known.manifest, "path": known.path}
    folder = trained_extractors.folder_of(known.name)
    here = known.host == socket.gethostname()
    if not here or (Path(known.path) != folder and Path(known.path).exists()):
        under = f" under another name than {known.name!r}" if folder.exists() else ""
        say = (
            f"The extractor {known.name!r} ({known.weights_sha256[:8]}) lies on {known.host} in {known.path}: to use "
            f"it here, copy that folder to {extractors_folder()}{under}."
        )
        return Standing(known.name, State.ELSEWHERE, values, known, say)
    what = "holds another one" if Path(known.path).exists() else "is gone"
    way_out = "register" if Path(known.path).exists() else "rm"
    say = (
        f"The folder {known.path} of the extractor {known.name!r} ({known.weights_sha256[:8]}) {what}: put it back, or "
        f"let the registry know by `sngan extractors {way_out} {shlex.quote(known.name)}`."
    )
    return Standing(known.name, State.GONE, values, known, say)


def _is_gone(known: ExtractorRecord) -> bool:
    """Whether the folder was here, and is no longer where it was."""
    return known.host == socket.gethostname() and not Path(known.path).exists()


def _renamed(standing: Standing, before: ExtractorRecord) -> Standing:
    """The same, known to the registry under another name."""
    say = (
        f"The folder {before.path} was renamed: what was an extractor {before.name!r}, and is in runs and scores, is "
        f"{standing.name!r} now. Rename it back, or let the registry know by `sngan extractors register "
        f"{shlex.quote(standing.name)}`."
    )
    return replace(standing, state=State.RENAMED, record=before, remark=say)


def _fault(weights: Path, size: int | None) -> str | None:
    """What is wrong with a file of weights at first sight. Manifests of early versions do not say its size."""
    if not weights.is_file():
        return f"{weights} is gone"
    found = weights.stat().st_size
    return f"{weights} has {found} bytes, not {size}" if size not in (None, found) else None


def _changed(standing: Standing, fault: str) -> Standing:
    say = f"The extractor {standing.name!r} cannot be used: {fault}. Restore it, or train it again with --replace."
    return replace(standing, state=State.CHANGED, remark=say)
