"""Ways of measuring, by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from sngan_cli.contracts import Metric
from sngan_cli.errors import NotFoundError, no_such


@dataclass(frozen=True)
class ScoringProtocol:
    """How many images are scored, against how many real ones (0: all there are), and the options of metrics."""

    name: str
    images: int
    real: int
    metrics: Mapping[str, Mapping[str, Any]]

    def of(self, metric: str) -> tuple[int, int, dict[str, Any]]:
        """Images, real images and options of one metric."""
        options = dict(self.metrics.get(metric, {}))
        return options.pop("images", self.images), options.pop("real", self.real), options

    def covers(self, metric: str, made: Metric, images: int, real: int | None, whole: bool) -> bool:
        """Whether a metric over so many images is measured by this protocol.

        `real` is the number of real images, None where the metric looks at none; `whole` says that these are all.
        """
        expected_images, expected_real, options = self.of(metric)
        given = {key: getattr(made, key) for key, option in type(made).model_fields.items() if option.is_required()}
        if images != expected_images or made.protocol() != type(made)(**given | options).protocol():
            return False
        return real is None or (whole if expected_real == 0 else real == expected_real)


def protocols() -> dict[str, ScoringProtocol]:
    """All protocols, by name."""
    text = (files("sngan_cli.config") / "protocols.toml").read_text(encoding="utf-8")
    return {name: ScoringProtocol(name, **{"metrics": {}, **table}) for name, table in tomllib.loads(text).items()}


def name_of(
    metric: str, made: Metric, images: int, real: int | None, *, whole: bool, preferred: str | None = None
) -> str | None:
    """Name of the protocol that a metric over so many images follows: `preferred`, if it does, or another one."""
    found = [p.name for p in protocols().values() if p.covers(metric, made, images, real, whole)]
    return preferred if preferred in found else next(iter(found), None)


def protocol(name: str) -> ScoringProtocol:
    """Find a protocol; raises `NotFoundError` where there is none of that name."""
    known = protocols()
    if name not in known:
        raise NotFoundError(no_such("protocol", name, known))
    return known[name]
