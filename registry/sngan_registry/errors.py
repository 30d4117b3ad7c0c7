"""What can go wrong in the run store. Every message is ready for the user: what is wrong, and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sngan_registry.records import Run

_CANDIDATES_SHOWN = 8
_LETTERS_SHOWN = 60


class RegistryError(Exception):
    """The registry cannot be opened, read or written, or was asked for something it does not hold."""


class MovedError(RegistryError):
    """The file of the registry is no longer where it was when it was opened."""

    def __init__(self, place: str, *, is_replaced: bool) -> None:
        what = "was replaced by another file" if is_replaced else "was moved or deleted"
        super().__init__(f"The registry {place} {what} while it was in use: put it back where it was.")


class DamagedError(RegistryError):
    """The database, or a row of it, cannot be read: `reason` says why, in the database's own words."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"The registry {place} is damaged: {reason}; `sngan registry check` looks for more, and `sngan registry "
            "rebuild` makes it anew from the folders of runs."
        )
        self.reason = reason


def is_damage(error: BaseException) -> bool:
    """Say whether SQLite raised this because a file is no database, or no longer a whole one."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


class SchemaError(RegistryError):
    """The database is from a newer sngan, or no registry at all."""


class QueryError(RegistryError):
    """A question about a setting that no run has, or a value that it cannot have."""


class RunNotFoundError(RegistryError):
    """No run goes by this id, prefix or name."""

    def __init__(self, ref: str, why: str = "", near: Sequence[str] = ()) -> None:
        because = f": {why}" if why else ""
        hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
        super().__init__(f"There is no run {_shortened(ref)!r}{because}.{hint} `sngan runs list` shows them all.")


class NoRunsError(RunNotFoundError):
    """No run goes by this id, prefix or name, since there are no runs at all."""

    def __init__(self, ref: str) -> None:
        RegistryError.__init__(self, f"There is no run {_shortened(ref)!r}: the registry is empty.")


class RunRemovedError(RunNotFoundError):
    """The run that is meant is in the trash; `ids` are those of all there that go by the reference."""

    def __init__(self, ref: str, ids: Sequence[str]) -> None:
        if len(ids) == 1:
            called = "" if ref == ids[0] else f", which {ref!r} stands for,"
            text = f"Run {ids[0]}{called} is in the trash: `sngan runs restore {ids[0]}` gets it back."
        else:
            text = f"{ref!r} fits {len(ids)} runs in the trash: `sngan runs restore ID` gets {' or '.join(ids)} back."
        RegistryError.__init__(self, text)
        self.ids = tuple(ids)


class RunNotRemovedError(RunNotFoundError):
    """No run in the trash goes by this id, prefix or name."""

    def __init__(self, ref: str) -> None:
        RegistryError.__init__(
            self, f"There is no run {ref!r} in the trash. `sngan runs gc --dry-run` shows all that is there."
        )


class AmbiguousRunError(RegistryError):
    """A prefix or name fits several runs; `candidates` are they, newest first."""

    def __init__(self, ref: str, candidates: Sequence[Run]) -> None:
        shown = [f"{run.id} ({run.name or 'unnamed'}, {run.created:%Y-%m-%d %H:%M})" for run in candidates]
        more = f" and {len(shown) - _CANDIDATES_SHOWN} more" if len(shown) > _CANDIDATES_SHOWN else ""
        super().__init__(
            f"{ref!r} fits {len(shown)} runs; give more of the id:\n{', '.join(shown[:_CANDIDATES_SHOWN])}{more}"
        )
        self.candidates = tuple(candidates)


class RunBusyError(RegistryError):
    """The run is alive in another process."""

    def __init__(self, run_id: str, host: str, pid: int) -> None:
        super().__init__(
            f"Run {run_id} is being trained by process {pid} on {host}: stop that process, or wait for it to end."
        )
        self.run_id = run_id
        self.host = host
        self.pid = pid


class RunTakenError(RegistryError):
    """The run was claimed by another process while this one trained it, and stood still for long."""

    def __init__(self, run_id: str, host: str, pid: int) -> None:
        super().__init__(
            f"Run {run_id} was taken over by process {pid} on {host} while this one stood still: this one ends, and "
            "what it did since is not recorded."
        )


class RunChangedError(RegistryError):
    """The run was trained by another process since it was read."""

    def __init__(self, run_id: str, step: int) -> None:
        super().__init__(f"Run {run_id} has been trained to step {step} meanwhile: give the command again.")


def _shortened(ref: str) -> str:
    return ref if len(ref) <= _LETTERS_SHOWN else f"{ref[:_LETTERS_SHOWN]}…"
