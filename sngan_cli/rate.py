"""How quickly training goes."""

from __future__ import annotations

import time
from collections import deque


def time_left(seconds: float) -> str:
    """So much time, in words."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:d}:{minutes % 60:02d}:{rest:02d} left"


class Rate:
    """Images per second over the last counts; what passes between `pause` and the next count is left out."""

    COUNTS = 50

    def __init__(self) -> None:
        self._last: float | None = None
        self._taken: deque[tuple[int, float]] = deque(maxlen=self.COUNTS)

    def count(self, images: int) -> None:
        """Count images that were trained on since the last count."""
        now = time.monotonic()
        if self._last is not None:
            self._taken.append((images, now - self._last))
        self._last = now

    def pause(self) -> None:
        """Leave out the time until the next count."""
        self._last = None

    def text(self) -> str:
        """The rate in words, nothing while it is not known."""
        return "" if self._per_second is None else f"{self._per_second:.0f} images/s"

    def left(self, images: int) -> str:
        """The time that so many images will take, in words; nothing while the rate is not known."""
        if not self._per_second:
            return ""
        return time_left(images / self._per_second)

    @property
    def _per_second(self) -> float | None:
        if len(self._taken) < 3:  # the first steps choose algorithms and are slow
            return None
        return sum(images for images, _ in self._taken) / max(1e-9, sum(seconds for _, seconds in self._taken))
