"""The tables, as SQLAlchemy sees them. A column has the name of the record's field that it holds.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, DateTime, Float, ForeignKey, Index, MetaData, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every back end, also on those that store no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Bind in UTC; a naive datetime is a bug of the caller."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"naive datetime {value}: the registry takes aware ones")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Real(TypeDecorator[float]):
    """A double that may be NaN, as diverging losses are. NaN is stored as NULL, since SQLite knows no NaN."""

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """NaN to NULL."""
        return None if value is None or math.isnan(value) else float(value)

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        """NULL to NaN."""
        return math.nan if value is None else value


class Document(TypeDecorator[Mapping[str, Any]]):
    """A mapping stored as JSON."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> dict[str, Any] | None:
        """Any mapping will do, not only a dict."""
        return None if value is None else dict(value)


class Base(DeclarativeBase):
    """What all tables share: names for constraints, so that migrations can refer to them, and column types."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it so
        datetime: UtcDateTime(),
        Mapping[str, Any]: Document(),
        float: Float(53),
        str: Text(),
    }


# Keys have a length because some servers cannot index a text without one; nothing else does.
Key = Annotated[str, mapped_column(String(64), primary_key=True)]
LongKey = Annotated[str, mapped_column(String(255), primary_key=True)]
Step = Annotated[int, mapped_column(primary_key=True, autoincrement=False)]


class RunRow(Base):
    """A run and the environment that it was last trained in."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(255), index=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None]
    parent: Mapped[str | None] = mapped_column(String(16), ForeignKey("runs.id", ondelete="SET NULL"), index=True)
    config: Mapped[Mapping[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    step: Mapped[int]
    steps: Mapped[int]
    created: Mapped[datetime] = mapped_column(index=True)
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    heartbeat: Mapped[datetime | None]
    note: Mapped[str | None]
    sngan: Mapped[str]
    python: Mapped[str]
    torch: Mapped[str]
    cuda: Mapped[str | None]
    device: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    git_commit: Mapped[str | None]
    command: Mapped[str]


class RowOfRun(Base):
    """What belongs to a run, and goes with it."""

    __abstract__ = True

    run_id: Mapped[str] = mapped_column(
        String(16), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, sort_order=-1
    )


class TagRow(RowOfRun):
    """A tag of a run."""

    __tablename__ = "tags"

    tag: Mapped[LongKey] = mapped_column(index=True)


class ComponentRow(RowOfRun):
    """A component of a run. A role may be filled more than once, as that of a metric may."""

    __tablename__ = "components"

    role: Mapped[Key]
    name: Mapped[LongKey]
    distribution: Mapped[str]
    version: Mapped[str]
    options: Mapped[Mapping[str, Any]]


class ScalarRow(RowOfRun):
    """One value of a curve. By far the longest table, so SQLite keeps it in its key's tree alone."""

    __tablename__ = "scalars"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy declares it so

    name: Mapped[Key]
    step: Mapped[Step]
    value: Mapped[float | None] = mapped_column(Real)


class ScoreRow(RowOfRun):
    """A score. `generator_weights` repeats the entry of the evidence that is part of the key."""

    __tablename__ = "scores"
    __table_args__ = (Index(None, "metric", "created"),)

    metric: Mapped[Key]
    protocol: Mapped[LongKey]
    step: Mapped[Step]
    generator_weights: Mapped[Key]
    value: Mapped[float | None] = mapped_column(Real)
    std: Mapped[float | None]
    higher_is_better: Mapped[bool]
    evidence: Mapped[Mapping[str, Any]]
    created: Mapped[datetime]


class CheckpointRow(RowOfRun):
    """A checkpoint folder."""

    __tablename__ = "checkpoints"

    step: Mapped[Step]
    path: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    created: Mapped[datetime]
    deleted: Mapped[datetime | None]


class ArtifactRow(RowOfRun):
    """A file that a run left."""

    __tablename__ = "artifacts"

    path: Mapped[LongKey]
    kind: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    step: Mapped[int | None]
    created: Mapped[datetime]


class EventRow(RowOfRun):
    """Something worth telling that happened to a run."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(String(16), ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    message: Mapped[str]
    step: Mapped[int | None]
    created: Mapped[datetime]
