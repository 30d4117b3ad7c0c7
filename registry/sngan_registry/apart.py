"""What is recorded apart from runs: extractors that were trained, and scores of pictures that no run drew.

Both are reached through a `Store`, and raise `RegistryError` where its database cannot be read or written.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, delete, update

from sngan_registry import reads, tables
from sngan_registry.database import reading, writing
from sngan_registry.records import ExtractorRecord, PictureScore
from sngan_registry.writes import dated, replace, retried


class Extractors:
    """The trained extractors of a database; removed ones are kept, since scores by them are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, extractor: ExtractorRecord) -> None:
        """Record an extractor; others that were in its place, on that host in that folder, are removed from now on."""
        place = (tables.extractors.c.host == extractor.host, tables.extractors.c.path == extractor.path)
        present = tables.extractors.c.removed.is_(None)
        with writing(self._engine) as connection:
            connection.execute(update(tables.extractors).where(*place, present).values(removed=datetime.now(UTC)))
            retried(connection, lambda: replace(connection, tables.extractors, [vars(extractor)]))

    def remove(self, extractor: ExtractorRecord) -> None:
        """Record that an extractor was removed."""
        same = (
            tables.extractors.c.weights_sha256 == extractor.weights_sha256,
            tables.extractors.c.name == extractor.name,
        )
        with writing(self._engine) as connection:
            connection.execute(update(tables.extractors).where(*same).values(removed=datetime.now(UTC)))

    def all(self) -> tuple[ExtractorRecord, ...]:
        """Load every extractor, removed ones included, by name, each name's oldest first."""
        with reading(self._engine) as connection:
            return reads.extractors(connection)


class PictureScores:
    """The scores of pictures of a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, score: PictureScore) -> None:
        """Record a score; it replaces one of the same pictures, by content, metric and protocol."""
        with writing(self._engine) as connection:
            retried(connection, lambda: replace(connection, tables.picture_scores, [dated(score)]))

    def rename(self, pictures_sha256: str, pictures: str) -> None:
        """Call the pictures of this content so in all scores of them."""
        same = tables.picture_scores.c.pictures_sha256 == pictures_sha256
        with writing(self._engine) as connection:
            connection.execute(update(tables.picture_scores).where(same).values(pictures=pictures))

    def remove(self, pictures: str) -> int:
        """Forget all scores of the pictures that are called so; returns how many there were."""
        with writing(self._engine) as connection:
            called = tables.picture_scores.c.pictures == pictures
            return connection.execute(delete(tables.picture_scores).where(called)).rowcount

    def of(self, pictures_sha256: str) -> tuple[PictureScore, ...]:
        """Load the scores of the pictures of this content, the latest first."""
        with reading(self._engine) as connection:
            return reads.picture_scores_of(connection, pictures_sha256)

    def all(self) -> tuple[PictureScore, ...]:
        """Load every score, by metric, protocol and name of the pictures."""
        with reading(self._engine) as connection:
            return reads.picture_scores(connection)
