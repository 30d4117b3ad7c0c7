"""What was recorded of a run, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sngan_registry import Checkpoint, Run, Scalar, Score


@dataclass(frozen=True)
class History:
    """What was recorded of a run, and what it takes to judge it.

    `blind` is D's loss where it tells nothing apart (None where it is unknown), `best_step` the step that
    `--checkpoint best` means (None where there is none).
    """

    run: Run
    scalars: Sequence[Scalar]
    scores: Sequence[Score]
    checkpoints: Sequence[Checkpoint]
    blind: float | None
    best_step: int | None = None

    @property
    def step(self) -> int:
        """The last step that anything is known of; the run's own may lag behind its losses."""
        return max([self.run.step, *(scalar.step for scalar in self.scalars)])

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Points (step, value) of a scalar by step, the finite ones."""
        return sorted((s.step, s.value) for s in self.scalars if s.name == name and math.isfinite(s.value))

    def qualities(self) -> list[list[Score]]:
        """Series of scores that rise or fall with the quality of pictures.

        Diversity does not: that of a G which does not draw its classes yet is above the data's.
        """
        return [scores for scores in self.series() if scores[0].metric != "diversity"]

    def series(self) -> list[list[Score]]:
        """Scores that may be compared (one metric, protocol and kind of G's weights), each series by step."""
        found: dict[tuple[str, str, str], list[Score]] = {}
        for score in sorted(self.scores, key=lambda s: s.step):
            if math.isfinite(score.value):
                key = (score.metric, score.protocol, score.generator_weights)
                found.setdefault(key, []).append(score)
        return list(found.values())

    def told(self, key: str) -> Any:
        """A setting of the run, a component by its name; None where it is not recorded."""
        value = self.run.config.get(key)
        return value.get("name") if isinstance(value, Mapping) else value


@dataclass(frozen=True)
class Finding:
    """One thing that is so with a run: since (or at) which step, what was seen and means, and what to do about it."""

    kind: str
    step: int | None
    message: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether the run has recovered from it."""
        return self.figures.get("recovered") is not None
