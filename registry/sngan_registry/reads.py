"""Queries that turn rows into records. Each takes an open connection, so that several see the same state."""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    or_,
    select,
)

from sngan_registry import tables
from sngan_registry.errors import AmbiguousRunError, NoRunsError, RunNotFoundError, RunNotRemovedError, RunRemovedError
from sngan_registry.queries import sort_summaries
from sngan_registry.records import (
    LOST_AFTER,
    Artifact,
    Checkpoint,
    Component,
    Environment,
    ExtractorRecord,
    PictureScore,
    Run,
    RunFiles,
    RunScore,
    RunSummary,
    Scalar,
    Score,
    Status,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

BEST_METRIC = "is"
"""The metric that `@best` is about."""

THERE = tables.runs.c.removed.is_(None)
"""Of a run that is not in the trash: queries about runs are about these, unless they say otherwise."""

_NEWEST_FIRST = (tables.runs.c.created.desc(), tables.runs.c.id.desc())
_ENVIRONMENT = [field.name for field in fields(Environment)]
_PLAIN = [field.name for field in fields(Run) if field.name not in {"status", "environment", "tags"}]
_SCORE = [field.name for field in fields(Score)]

_BADNESS = case((tables.scores.c.higher_is_better, -tables.scores.c.value), else_=tables.scores.c.value)
_IS_FINITE = func.abs(tables.scores.c.value) <= sys.float_info.max
_BEST_FIRST = (case((_IS_FINITE, 0), else_=1), _BADNESS, tables.scores.c.step)
_LAST_FIRST = (tables.scores.c.step.desc(), tables.scores.c.created.desc())


def status_of(row: RowMapping, now: datetime) -> Status:
    """Status of a row of `runs`: what it says, or lost where it says running and no longer is."""
    status = Status(row["status"])
    if status is not Status.RUNNING:
        return status
    dead = row["host"] == socket.gethostname() and not _is_alive(row["pid"])
    # Clocks of machines differ, and one that was days ahead is no reason to wait for that time.
    silent = now - row["heartbeat"] > LOST_AFTER or row["heartbeat"] - now > timedelta(days=1)
    return Status.LOST if dead or silent else status


def runs(connection: Connection, chosen: Select[Any]) -> tuple[Run, ...]:
    """Load the runs whose ids the statement selects, newest first."""
    return _runs(connection, chosen.subquery())


def run(connection: Connection, run_id: str) -> Run:
    """Load one run by its whole id; raises `RunNotFoundError`, and `RunRemovedError` for one in the trash."""
    found = runs(connection, select(tables.runs.c.id).where(tables.runs.c.id == run_id))
    if not found:
        raise RunNotFoundError(run_id)
    if found[0].removed is not None:
        raise RunRemovedError(run_id, [run_id])
    return found[0]


def removed_runs(connection: Connection) -> tuple[Run, ...]:
    """Load the runs in the trash, newest first."""
    return runs(connection, select(tables.runs.c.id).where(~THERE))


def find_run(connection: Connection, ref: str) -> Run:
    """Find a run by id, name, unique prefix of its id, `@last` or `@best`, in this order.

    Raises `RunNotFoundError`, `RunRemovedError` where only one in the trash is meant, and `AmbiguousRunError` where a
    name or prefix fits several.
    """
    if not ref:
        raise RunNotFoundError(ref, "give an id, the beginning of one, a name, @last or @best")
    if ref == "@last":
        return _last(connection)
    if ref == "@best":
        return run(connection, _best(connection))
    meant = runs(connection, select(tables.runs.c.id).where(tables.runs.c.id == ref.lower(), ~THERE))
    if not meant and (found := _only(ref, _fitting(connection, ref, THERE))):
        return found
    if removed := _fitting(connection, ref, ~THERE):
        raise RunRemovedError(ref, [run.id for run in removed])
    words = connection.execute(select(tables.runs.c.id, tables.runs.c.name).where(THERE))
    known = {word for row in words for word in row if word}
    if not known:
        raise NoRunsError(ref)
    raise RunNotFoundError(ref, near=get_close_matches(ref, sorted(known | {"@last", "@best"})))


def named(connection: Connection, name: str) -> tuple[Run, ...]:
    """Load the runs of this name, newest first."""
    return runs(connection, select(tables.runs.c.id).where(tables.runs.c.name == name, THERE))


def find_removed_run(connection: Connection, ref: str) -> Run:
    """Find a run in the trash by id, name or unique prefix of its id, in this order.

    Raises `RunNotRemovedError`, and `AmbiguousRunError` where a name or prefix fits several.
    """
    found = _only(ref, _fitting(connection, ref, ~THERE)) if ref else None
    if found is None:
        raise RunNotRemovedError(ref)
    return found


def summaries(
    connection: Connection, status: Status | None, tags: Iterable[str], limit: int | None
) -> list[RunSummary]:
    """Load summaries, newest first, in four queries. A status of lost finds all that may be, running ones included."""
    chosen = select(tables.runs.c.id).where(THERE).order_by(*_NEWEST_FIRST).limit(limit)
    if status is not None:
        chosen = chosen.where(tables.runs.c.status == (Status.RUNNING if status is Status.LOST else status))
    for tag in tags:
        carries_it = (tables.tags.c.run_id == tables.runs.c.id, tables.tags.c.tag == tag)
        chosen = chosen.where(select(tables.tags).where(*carries_it).exists())
    ids = chosen.subquery()
    components = _components(connection, ids)
    best, last = _best_and_last_scores(connection, ids)
    return [
        RunSummary(
            run=found,
            components=tuple(components[found.id]),
            best=tuple(best[found.id]),
            last=tuple(last[found.id]),
        )
        for found in _runs(connection, ids)
    ]


def run_scores(connection: Connection) -> tuple[RunScore, ...]:
    """Load the scores of all runs, by metric, protocol, run and step."""
    of = tables.scores.c
    columns = [tables.runs.c.name, *(of[field.name] for field in fields(RunScore) if field.name != "name")]
    order = (of.metric, of.protocol, of.run_id, of.step, of.generator_weights)
    statement = select(*columns).select_from(tables.scores).join(tables.runs).where(THERE).order_by(*order)
    return records(connection, RunScore, statement)


def last_scalars(connection: Connection, run_id: str) -> tuple[Scalar, ...]:
    """Load the last point of each curve of a run, by name."""
    of = tables.scalars.c
    last = select(of.name, func.max(of.step).label("step")).where(of.run_id == run_id).group_by(of.name).subquery()
    at = and_(of.name == last.c.name, of.step == last.c.step)
    statement = select(of.name, of.step, of.value).join(last, at).where(of.run_id == run_id).order_by(of.name)
    return records(connection, Scalar, statement)


def files(connection: Connection) -> tuple[RunFiles, ...]:
    """Load the files of every run, by id."""
    of = tables.runs.c
    checkpoints = _by_run(connection, Checkpoint, select(tables.checkpoints).order_by(*tables.checkpoints.primary_key))
    artifacts = _by_run(connection, Artifact, select(tables.artifacts).order_by(*tables.artifacts.primary_key))
    columns = (of.id, of.host, of.pid, of.status, of.heartbeat, of.removed)
    rows = connection.execute(select(*columns).order_by(of.id)).mappings()
    now = datetime.now(UTC)
    return tuple(
        RunFiles(
            run_id=row["id"],
            host=row["host"],
            status=status_of(row, now),
            removed=row["removed"] is not None,
            checkpoints=tuple(each for each in checkpoints[row["id"]] if each.deleted is None),
            dropped=tuple(each for each in checkpoints[row["id"]] if each.deleted is not None),
            artifacts=tuple(artifacts[row["id"]]),
        )
        for row in rows
    )


def picture_scores(connection: Connection) -> tuple[PictureScore, ...]:
    """Load the scores of pictures, by metric, protocol and name."""
    of = tables.picture_scores.c
    statement = select(tables.picture_scores).order_by(of.metric, of.protocol, of.pictures, of.created)
    return records(connection, PictureScore, statement)


def picture_scores_of(connection: Connection, pictures_sha256: str) -> tuple[PictureScore, ...]:
    """Load the scores of the pictures of this content, the latest first."""
    of = tables.picture_scores.c
    same = select(tables.picture_scores).where(of.pictures_sha256 == pictures_sha256)
    return records(connection, PictureScore, same.order_by(of.created.desc(), of.metric, of.protocol))


def extractors(connection: Connection) -> tuple[ExtractorRecord, ...]:
    """Load the trained extractors, by name, each name's oldest first."""
    of = tables.extractors.c
    statement = select(tables.extractors).order_by(of.name, of.created, of.weights_sha256)
    return records(connection, ExtractorRecord, statement)


def records(connection: Connection, kind: type[Record], statement: Select[Any]) -> tuple[Record, ...]:
    """Load what a statement selects, whose columns are the fields of a record."""
    return tuple(kind(**row) for row in connection.execute(statement).mappings())


def _by_run(connection: Connection, kind: type[Record], statement: Select[Any]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for row in connection.execute(statement).mappings():
        found[row["run_id"]].append(kind(**{name: value for name, value in row.items() if name != "run_id"}))
    return found


def _runs(connection: Connection, ids: Subquery) -> tuple[Run, ...]:
    tags: dict[str, list[str]] = defaultdict(list)
    for run_id, tag in connection.execute(_of(tables.tags, ids)):
        tags[run_id].append(tag)
    found = connection.execute(select(tables.runs).join(ids, ids.c.id == tables.runs.c.id).order_by(*_NEWEST_FIRST))
    now = datetime.now(UTC)
    return tuple(_run(row, tuple(tags[row["id"]]), now) for row in found.mappings().all())


def _run(row: RowMapping, tags: tuple[str, ...], now: datetime) -> Run:
    return Run(
        **{name: row[name] for name in _PLAIN},
        status=status_of(row, now),
        environment=Environment(**{name: row[name] for name in _ENVIRONMENT}),
        tags=tags,
    )


def _fitting(connection: Connection, ref: str, where: ColumnElement[bool]) -> tuple[Run, ...]:
    """Those of such runs that have this id, or else this name, or else an id that begins so, newest first."""
    prefix = tables.runs.c.id.startswith(ref.lower(), autoescape=True)
    for condition in (tables.runs.c.id == ref.lower(), tables.runs.c.name == ref, prefix):
        if found := runs(connection, select(tables.runs.c.id).where(condition, where)):
            return found
    return ()


def _only(ref: str, found: tuple[Run, ...]) -> Run | None:
    if len(found) > 1:
        raise AmbiguousRunError(ref, found)
    return found[0] if found else None


def _last(connection: Connection) -> Run:
    found = runs(connection, select(tables.runs.c.id).where(THERE).order_by(*_NEWEST_FIRST).limit(1))
    if not found:
        raise NoRunsError("@last")
    return found[0]


def _best(connection: Connection) -> str:
    """Id of the run that leads where all are sorted by the best score: within the protocol that most runs share."""
    ranked = sort_summaries(summaries(connection, None, (), None), BEST_METRIC)
    if ranked.protocols:
        leader, leading = ranked.summaries[0], (BEST_METRIC, ranked.protocols[0])
        if any((score.metric, score.protocol) == leading and not math.isnan(score.value) for score in leader.best):
            return leader.run.id
    raise RunNotFoundError("@best", f"no run has a score {BEST_METRIC!r} yet")


def _of(table: Table, ids: Subquery) -> Select[Any]:
    """Select what belongs to these runs, in the order of the table's key."""
    return select(table).join(ids, ids.c.id == table.c.run_id).order_by(*table.primary_key)


def _components(connection: Connection, ids: Subquery) -> dict[str, list[Component]]:
    """Components of each run; those of thousands of runs are a few, of which each is built once."""
    of = tables.components.c
    columns = (of.run_id, of.role, of.name, of.distribution, of.version, cast(of.options, Text))
    built: dict[tuple[str, ...], Component] = {}
    found: dict[str, list[Component]] = defaultdict(list)
    for run_id, *values in connection.execute(_of(tables.components, ids).with_only_columns(*columns)).all():
        if (component := built.get(key := tuple(values))) is None:
            role, name, distribution, version, options = values
            component = built[key] = Component(
                role=role, name=name, distribution=distribution, version=version, options=json.loads(options)
            )
        found[run_id].append(component)
    return found


def _best_and_last_scores(
    connection: Connection, ids: Subquery
) -> tuple[dict[str, list[Score]], dict[str, list[Score]]]:
    """Of each run, metric and protocol the best score and the one of the latest step."""
    group = (tables.scores.c.run_id, tables.scores.c.metric, tables.scores.c.protocol)
    ranked = (
        select(
            tables.scores,
            func.row_number().over(partition_by=group, order_by=_BEST_FIRST).label("best"),
            func.row_number().over(partition_by=group, order_by=_LAST_FIRST).label("last"),
        )
        .join(ids, ids.c.id == tables.scores.c.run_id)
        .subquery()
    )
    statement = (
        select(ranked).where(or_(ranked.c.best == 1, ranked.c.last == 1)).order_by(ranked.c.metric, ranked.c.protocol)
    )
    best: dict[str, list[Score]] = defaultdict(list)
    last: dict[str, list[Score]] = defaultdict(list)
    for row in connection.execute(statement).mappings().all():
        score = Score(**{name: row[name] for name in _SCORE})
        if row["best"] == 1:
            best[row["run_id"]].append(score)
        if row["last"] == 1:
            last[row["run_id"]].append(score)
    return best, last


def _is_alive(pid: int) -> bool:
    """Say whether a process of this machine runs; on Windows, where asking would end it, assume so."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, and is someone else's
    return True
