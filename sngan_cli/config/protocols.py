"""Ways of measuring, by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from sngan_cli.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class ScoringProtocol:
    """How many images are scored, against how many real ones (0: all there are), and the options of metrics."""

    name: str
    about: str
    images: int
    real: int
    metrics: Mapping[str, Mapping[str, Any]]

    def of(self, metric: str) -> tuple[int, int, dict[str, Any]]:
        """Images, real images and options of one metric."""
        options = dict(self.metrics.get(metric, {}))
        return options.pop("images", self.images), options.pop("real", self.real), options


def protocols() -> dict[str, ScoringProtocol]:
    """All protocols, by name."""
    text = (files("sngan_cli.config") / "protocols.toml").read_text(encoding="utf-8")
    return {name: ScoringProtocol(name, **{"metrics": {}, **table}) for name, table in tomllib.loads(text).items()}


def protocol(name: str) -> ScoringProtocol:
    """Find a protocol; raises `UsageError` where there is none of that name."""
    known = protocols()
    if name not in known:
        raise UsageError(f"There is no protocol {name!r}.{did_you_mean(name, known)}")
    return known[name]
