"""The run store: what was trained, how, with what, and what came of it.

`Store` is loaded on first use, since it brings SQLAlchemy with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sngan_registry.errors import (
    AmbiguousRunError,
    DamagedError,
    MovedError,
    QueryError,
    RegistryError,
    RunBusyError,
    RunChangedError,
    RunNotFoundError,
    RunNotRemovedError,
    RunRemovedError,
    RunTakenError,
    SchemaError,
)
from sngan_registry.queries import (
    best_first,
    best_of,
    duration_of,
    facts_of,
    filter_summaries,
    most_used_first,
    sort_summaries,
)
from sngan_registry.records import (
    Artifact,
    Checkpoint,
    Component,
    Environment,
    Event,
    ExtractorRecord,
    Measurement,
    NewRun,
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
    from sngan_registry.store import Store

__all__ = [
    "AmbiguousRunError", "Artifact", "Checkpoint", "Component", "DamagedError", "Environment", "Event",
    "ExtractorRecord", "Measurement", "MovedError", "NewRun", "PictureScore", "QueryError", "RegistryError", "Run",
    "RunBusyError", "RunChangedError", "RunFiles", "RunNotFoundError", "RunNotRemovedError", "RunRemovedError",
    "RunScore", "RunSummary", "RunTakenError", "Scalar", "SchemaError", "Score", "Status", "Store",
    "best_first", "best_of", "duration_of", "facts_of", "filter_summaries", "most_used_first", "sort_summaries",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "Store":
        from sngan_registry.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
