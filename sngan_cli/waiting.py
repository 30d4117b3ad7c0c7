"""How torch's threads wait for one another, which is decided as torch is loaded."""

from __future__ import annotations

import os

SPINS = "GOMP_SPINCOUNT"
_FEW = "10000"
"""A fraction of a millisecond: more than lies between two operations of a step, less than a turn on a processor."""


def sleep_soon() -> None:
    """Let threads that wait sleep soon, unless the user has said how they wait; to be called before torch is loaded.

    They spin for milliseconds otherwise. Where processes share processors, each keeps the others from work by that.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPINS, _FEW)
