"""The run store. Records go in and come out; each write is one short transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, delete, false, insert, select, update

from sngan_registry import queries, reads, schema, tables
from sngan_registry.apart import Extractors, PictureScores
from sngan_registry.database import connect, let_go, no_answer, reading, registry_url, sqlite_file, writing
from sngan_registry.errors import RegistryError, RunBusyError, RunChangedError, RunRemovedError, RunTakenError
from sngan_registry.ids import new_run_id
from sngan_registry.records import (
    Artifact,
    Checkpoint,
    Component,
    Environment,
    Event,
    NewRun,
    Run,
    RunFiles,
    RunScore,
    RunSummary,
    Scalar,
    Score,
    Status,
)
from sngan_registry.trash import Trash
from sngan_registry.writes import dated, forget, generator_weights, lock, replace, retried


class Store:
    """All runs of one database, and what is recorded apart from them: extractors, and scores of pictures.

    It may be used from several threads, and by several processes at once.

    Every method raises `RegistryError` where the database cannot be read or written; those that write to a run raise
    `RunNotFoundError` for an id that is not there, `RunRemovedError` for one in the `trash`, and `RunTakenError` where
    another process has claimed it since.
    """

    def __init__(self, engine: Engine, revision: str | None = None, upgraded: schema.Upgrade | None = None) -> None:
        self._engine = engine
        self.revision = revision
        """Revision of the schema; None where there is no registry, and this one reads as empty."""
        self.upgraded = upgraded
        """What opening it changed in the schema, if anything."""
        self._claims: dict[str, tuple[str, int]] = {}
        self.extractors = Extractors(engine)
        self.picture_scores = PictureScores(engine)
        self.trash = Trash(engine)

    @classmethod
    def open(cls, place: str | Path, *, create: bool = True) -> Store:
        """Open the registry at a SQLAlchemy URL, or in the SQLite file at a path; older ones are migrated first.

        A registry that is not there yet is created or, without `create`, read as an empty one and left uncreated.
        Raises `SchemaError` for a database of a newer sngan or of another program.
        """
        url = registry_url(place)
        path = sqlite_file(url)
        if not create and path is not None and not path.exists() and not path.parent.is_file():
            return cls(schema.nothing())
        engine = connect(url)
        try:
            revision = schema.revision(engine)
            if revision is None and not create:
                engine.dispose()
                return cls(schema.nothing())
            upgraded = schema.upgrade(engine) if revision != schema.REVISION else None
        except RegistryError:
            engine.dispose()
            raise
        return cls(engine, schema.REVISION, upgraded)

    def dispose(self) -> None:
        """Let go of the database; what threads still use of it is closed once they have done with it."""
        let_go(self._engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dispose()

    # The life of a run ------------------------------------------------------------------------------------------------

    def create_run(self, new: NewRun) -> Run:
        """Record a run that is still to be trained, as queued, under a new id."""
        created = datetime.now(UTC)
        values = {
            "name": new.name,
            "status": Status.QUEUED,
            "parent": new.parent,
            "config": new.config,
            "seed": new.seed,
            "data_sha256": new.data_sha256,
            "step": 0,
            "steps": new.steps,
            "created": created,
            "note": new.note,
            **vars(new.environment),
        }
        with writing(self._engine) as connection:
            if new.parent is not None:
                reads.run(connection, new.parent)
            run_id = _insert_run(connection, values)
            if new.components:
                rows = [{"run_id": run_id, **vars(component)} for component in new.components]
                connection.execute(insert(tables.components), rows)
            _add_tags(connection, run_id, new.tags)
            return reads.run(connection, run_id)

    def restore(self, described: Mapping[str, Any], scalars: Iterable[Scalar]) -> Run | None:
        """Take in a run, with all that belongs to it, as its folder describes it; None where it is there already.

        What it takes, and what of it is left out, is said at `restoring.restore`. A run that was being trained comes in
        as lost. Raises `ValueError` where the description cannot be used.
        """
        from sngan_registry.restoring import restore  # what lists runs is quicker without

        with writing(self._engine) as connection:
            run_id = restore(connection, described, scalars)
            return None if run_id is None else reads.run(connection, run_id)

    def claim(self, run_id: str, environment: Environment, seen: Run | None = None) -> Run:
        """Take a run for training: it is running from now on, in this environment.

        Of several processes that try, one succeeds; raises `RunBusyError` in the others, until the run ends or is lost,
        and `RunChangedError` where the run has been trained since it was `seen`.
        """
        self._claims.pop(run_id, None)
        with self._writing(run_id) as connection:
            now = datetime.now(UTC)
            row = connection.execute(select(tables.runs).where(tables.runs.c.id == run_id)).mappings().one()
            if reads.status_of(row, now) is Status.RUNNING:
                raise RunBusyError(run_id, row["host"], row["pid"])
            if seen is not None and (row["step"], row["ended"]) != (seen.step, seen.ended):
                raise RunChangedError(run_id, row["step"])
            values = {
                "status": Status.RUNNING,
                "reason": None,
                "started": row["started"] or now,
                "ended": None,
                "heartbeat": now,
                **vars(environment),
            }
            _set(connection, run_id, values)
            claimed = reads.run(connection, run_id)
        self._claims[run_id] = (environment.host, environment.pid)
        return claimed

    def heartbeat(self, run_id: str, step: int) -> None:
        """Show that a run is alive, and has come to a step at least. A lost run comes back to life."""
        with self._writing(run_id) as connection:
            _set(connection, run_id, {"heartbeat": datetime.now(UTC)})
            _reach(connection, run_id, step)

    def close(self, run_id: str, status: Status, *, step: int, reason: str | None = None) -> None:
        """Record how training ended: finished, failed or interrupted."""
        if status not in {Status.FINISHED, Status.FAILED, Status.INTERRUPTED}:
            raise ValueError(f"a run does not end as {status}")
        with self._writing(run_id) as connection:
            values = {"status": status, "step": step, "reason": reason, "ended": datetime.now(UTC)}
            _set(connection, run_id, values)
        self._claims.pop(run_id, None)

    def update(
        self,
        run_id: str,
        *,
        config: Mapping[str, Any] | None = None,
        components: Iterable[Component] = (),
        steps: int | None = None,
        name: str | None = None,
        note: str | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
    ) -> None:
        """Change what is given and leave the rest; an empty name or note is taken away.

        Of `components`, each takes the place of the one of its role and name.
        """
        given = {"config": config, "steps": steps, "name": name, "note": note}
        values = {key: None if value == "" else value for key, value in given.items() if value is not None}
        with self._writing(run_id) as connection:
            if values:
                _set(connection, run_id, values)
            if rows := [{"run_id": run_id, **vars(each)} for each in components]:
                replace(connection, tables.components, rows)
            _add_tags(connection, run_id, add_tags)
            gone = (tables.tags.c.run_id == run_id, tables.tags.c.tag.in_(list(remove_tags)))
            connection.execute(delete(tables.tags).where(*gone))

    def rewind(self, run_id: str, step: int) -> None:
        """Forget what came after `step`, to train from there again; later checkpoints count as deleted from now on."""
        with self._writing(run_id) as connection:
            forget(connection, run_id, step)
            later = (tables.checkpoints.c.run_id == run_id, tables.checkpoints.c.step > step)
            there = (*later, tables.checkpoints.c.deleted.is_(None))
            connection.execute(update(tables.checkpoints).where(*there).values(deleted=datetime.now(UTC)))
            _set(connection, run_id, {"step": step})

    # What came of it --------------------------------------------------------------------------------------------------

    def add_scalars(self, run_id: str, scalars: Iterable[Scalar]) -> None:
        """Record points of curves; a point replaces the one of the same name and step."""
        rows = [vars(scalar) for scalar in scalars]
        if rows:
            with self._writing(run_id) as connection:
                replace(connection, tables.scalars, [{"run_id": run_id, **row} for row in rows])

    def add_score(self, run_id: str, score: Score) -> None:
        """Record a score; it replaces one of the same metric, protocol, step, generator weights and seed."""
        row = {"run_id": run_id, **dated(score), "generator_weights": generator_weights(score.evidence)}
        with self._writing(run_id) as connection:
            replace(connection, tables.scores, [row])

    def add_checkpoint(self, run_id: str, checkpoint: Checkpoint) -> None:
        """Record a checkpoint, to whose step the run has come; it replaces the one of the same step."""
        with self._writing(run_id) as connection:
            replace(connection, tables.checkpoints, [{"run_id": run_id, **dated(checkpoint)}])
            _reach(connection, run_id, checkpoint.step)

    def drop_checkpoint(self, run_id: str, step: int) -> None:
        """Record that the checkpoint of this step, if it is known, was removed from disk."""
        with self._writing(run_id) as connection:
            of_step = (tables.checkpoints.c.run_id == run_id, tables.checkpoints.c.step == step)
            connection.execute(update(tables.checkpoints).where(*of_step).values(deleted=datetime.now(UTC)))

    def add_artifact(self, run_id: str, artifact: Artifact) -> None:
        """Record a file; it replaces the one of the same path."""
        with self._writing(run_id) as connection:
            replace(connection, tables.artifacts, [{"run_id": run_id, **dated(artifact)}])

    def add_event(self, run_id: str, event: Event) -> None:
        """Record something worth telling."""
        with self._writing(run_id) as connection:
            connection.execute(insert(tables.events), {"run_id": run_id, **dated(event)})

    # Reading ----------------------------------------------------------------------------------------------------------

    def get(self, ref: str) -> Run:
        """Find a run by id, name, unique prefix of its id, `@last` (created last) or `@best`.

        `@best` has the best Inception Score among those of the protocol that most runs share. Raises
        `AmbiguousRunError` where a name or prefix fits several runs.
        """
        with reading(self._engine) as connection:
            return reads.find_run(connection, ref)

    def no_answer(self) -> RegistryError:
        """What to raise where it has not answered in time: SQLite waits until a file is no longer locked."""
        return no_answer(self._engine.url)

    def check_writable(self) -> None:
        """Raise `RegistryError` where nothing can be written, before there is work to be lost."""
        with writing(self._engine) as connection:
            connection.execute(update(tables.runs).where(false()).values(name=None))

    def named(self, name: str) -> tuple[Run, ...]:
        """Load the runs of this name, newest first."""
        with reading(self._engine) as connection:
            return reads.named(connection, name)

    def get_each(self, refs: Iterable[str]) -> list[Run]:
        """Find runs as `get` does, each once, in the order of the references."""
        return list({run.id: run for run in map(self.get, refs)}.values())

    def run(self, run_id: str) -> Run:
        """Load a run by its whole id."""
        with reading(self._engine) as connection:
            return reads.run(connection, run_id)

    def files(self) -> tuple[RunFiles, ...]:
        """Load, for every run there is, by id, its host, its status and the files that are recorded."""
        with reading(self._engine) as connection:
            return reads.files(connection)

    def summaries(
        self,
        *,
        status: Status | None = None,
        tags: Sequence[str] = (),
        where: Mapping[str, str] = {},
        limit: int | None = None,
    ) -> list[RunSummary]:
        """Load runs with their components and scores, newest first: those with this status, all tags, all settings.

        `where` is explained at `queries.filter_summaries`. The number of queries does not depend on that of the runs.
        """
        vital = status in {Status.RUNNING, Status.LOST}
        with reading(self._engine) as connection:
            found = reads.summaries(connection, status, tags, None if vital or where else limit)
        if vital:
            found = [summary for summary in found if summary.run.status is status]
        if where:
            found = queries.filter_summaries(found, where)
        return found[:limit]

    def components(self, run_id: str) -> tuple[Component, ...]:
        """Load the components of a run, by role."""
        return self._records(run_id, Component, tables.components)

    def scalars(self, run_id: str) -> tuple[Scalar, ...]:
        """Load the curves of a run, by name and step."""
        return self._records(run_id, Scalar, tables.scalars)

    def last_scalars(self, run_id: str) -> tuple[Scalar, ...]:
        """Load the last point of each curve, by name."""
        with reading(self._engine) as connection:
            return reads.last_scalars(connection, run_id)

    def scores(self, run_id: str) -> tuple[Score, ...]:
        """Load the scores of a run, by metric, protocol and step."""
        return self._records(run_id, Score, tables.scores)

    def run_scores(self) -> tuple[RunScore, ...]:
        """Load the scores of all runs, by metric, protocol, run and step."""
        with reading(self._engine) as connection:
            return reads.run_scores(connection)

    def checkpoints(self, run_id: str) -> tuple[Checkpoint, ...]:
        """Load the checkpoints of a run by step, those removed from disk included."""
        return self._records(run_id, Checkpoint, tables.checkpoints)

    def artifacts(self, run_id: str) -> tuple[Artifact, ...]:
        """Load the files that a run left, by path."""
        return self._records(run_id, Artifact, tables.artifacts)

    def events(self, run_id: str) -> tuple[Event, ...]:
        """Load what happened to a run, in the order in which it was recorded."""
        return self._records(run_id, Event, tables.events)

    @contextmanager
    def _writing(self, run_id: str) -> Iterator[Connection]:
        """Write to one run, which is locked meanwhile."""
        with writing(self._engine) as connection:
            row = lock(connection, run_id)
            if row["removed"] is not None:
                raise RunRemovedError(run_id, [run_id])
            owner = (row["host"], row["pid"])
            if self._claims.get(run_id, owner) != owner:
                raise RunTakenError(run_id, *owner)
            yield connection

    def _records(self, run_id: str, kind: type[reads.Record], table: Table) -> tuple[reads.Record, ...]:
        """Load what belongs to a run, in the order of the table's key."""
        columns = [table.c[field.name] for field in fields(kind)]
        statement = select(*columns).where(table.c.run_id == run_id).order_by(*table.primary_key)
        with reading(self._engine) as connection:
            return reads.records(connection, kind, statement)


def _set(connection: Connection, run_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(values))


def _reach(connection: Connection, run_id: str, step: int) -> None:
    """Set how far a run has come, if it is not further by now: a writer may have waited while others wrote."""
    behind = (tables.runs.c.id == run_id, tables.runs.c.step < step)
    connection.execute(update(tables.runs).where(*behind).values(step=step))


def _insert_run(connection: Connection, values: Mapping[str, Any]) -> str:
    """Insert a run under an id that no other has, and say which."""

    def insert_one() -> str:
        run_id = new_run_id(values["created"])
        connection.execute(insert(tables.runs), {"id": run_id, **values})
        return run_id

    return retried(connection, insert_one)


def _add_tags(connection: Connection, run_id: str, tags: Iterable[str]) -> None:
    present = set(connection.scalars(select(tables.tags.c.tag).where(tables.tags.c.run_id == run_id)))
    rows = [{"run_id": run_id, "tag": tag} for tag in sorted({*tags} - present)]
    if rows:
        connection.execute(insert(tables.tags), rows)
