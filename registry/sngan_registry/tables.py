"""The tables. A column has the name of the record's field that it holds.

SQLAlchemy's Core alone serves them: records are frozen, so there is nothing for its ORM to track, and a command that
lists runs starts noticeably faster without it. A change here needs a migration in `migrations/versions`; a test
compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every back end, also on those that store no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True
    python_type = datetime

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
    python_type = float

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
    python_type = dict

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> dict[str, Any] | None:
        """Any mapping will do, not only a dict."""
        return None if value is None else dict(value)


class Words(TypeDecorator[str]):
    """Text from anywhere, such as a message that names a path; what no database keeps of it is spelt out."""

    impl = Text
    cache_ok = True
    python_type = str

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Bytes that are no text, and NUL, to escapes."""
        return None if value is None else value.encode(errors="backslashreplace").decode().replace("\0", r"\x00")


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _run_id(*, key: bool = True) -> Column[str]:
    """Column that ties a row to its run, and lets it go with the run."""
    run = ForeignKey("runs.id", ondelete="CASCADE")
    return Column("run_id", String(16), run, primary_key=key, index=not key, nullable=False)


# Keys have a length because some servers cannot index a text without one; other texts have none.

runs = Table(
    "runs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(255), index=True),
    Column("status", String(16), nullable=False, index=True),
    Column("reason", Words),
    Column("parent", String(16), ForeignKey("runs.id", ondelete="SET NULL"), index=True),
    Column("config", Document, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("data_sha256", String(64)),
    Column("step", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("created", UtcDateTime, nullable=False, index=True),
    Column("started", UtcDateTime),
    Column("ended", UtcDateTime),
    Column("heartbeat", UtcDateTime),
    Column("removed", UtcDateTime),
    Column("note", Words),
    # The environment that the run was last trained in.
    Column("sngan", Text, nullable=False),
    Column("python", Text, nullable=False),
    Column("torch", Text, nullable=False),
    Column("cuda", Text),
    Column("device", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("git_commit", Text),
    Column("command", Words, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    _run_id(),
    Column("tag", String(255), primary_key=True, index=True),
)

# A role may be filled more than once.
components = Table(
    "components",
    metadata,
    _run_id(),
    Column("role", String(64), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("distribution", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("options", Document, nullable=False),
)

# By far the longest table, so SQLite keeps it in its key's tree alone.
scalars = Table(
    "scalars",
    metadata,
    _run_id(),
    Column("name", String(64), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("value", Real),
    sqlite_with_rowid=False,
)

# `generator_weights` repeats the entry of the evidence that is part of the key, and the seed of the images.
scores = Table(
    "scores",
    metadata,
    _run_id(),
    Column("metric", String(64), primary_key=True),
    Column("protocol", String(255), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("generator_weights", String(64), primary_key=True),
    Column("value", Real),
    Column("std", Float(53)),
    Column("higher_is_better", Boolean, nullable=False),
    Column("evidence", Document, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Index(None, "metric", "created"),
)

# Of no run: pictures are known by their content.
picture_scores = Table(
    "picture_scores",
    metadata,
    Column("pictures_sha256", String(64), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("protocol", String(255), primary_key=True),
    Column("pictures", Text, nullable=False),
    Column("against", Text, nullable=False),
    Column("value", Real),
    Column("std", Float(53)),
    Column("higher_is_better", Boolean, nullable=False),
    Column("evidence", Document, nullable=False),
    Column("created", UtcDateTime, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _run_id(),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("deleted", UtcDateTime),
)

artifacts = Table(
    "artifacts",
    metadata,
    _run_id(),
    Column("path", String(255), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("step", Integer),
    Column("created", UtcDateTime, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    _run_id(key=False),
    Column("kind", Text, nullable=False),
    Column("message", Words, nullable=False),
    Column("step", Integer),
    Column("created", UtcDateTime, nullable=False),
)

# Of no run. A name can be given again, and one training under two names makes the same weights.
extractors = Table(
    "extractors",
    metadata,
    Column("weights_sha256", String(64), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("manifest", Document, nullable=False),
    Column("host", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("removed", UtcDateTime),
)
