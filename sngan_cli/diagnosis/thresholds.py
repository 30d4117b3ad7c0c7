"""From where on something is said of a run, and why from there."""

from __future__ import annotations

SEVERITY = ("diverged", "pinned", "won", "collapsed", "falling", "recovered", "untold", "healthy")
"""Kinds of findings, the worst first: what ends a run, then what keeps it from learning, then what shows in its scores.

`recovered` is the rank of what is over; such a finding keeps its kind.
"""

ENOUGH = 50
"""Readings of D's loss below which nothing is said of it: the patience of the notice given while training."""
WINDOW = 20
"""Losses are smoothed by a running mean over this part (one n-th) of the readings, as one batch tells little."""
LONG = 4
"""A loss must stand somewhere for this part (one n-th) of the run: every run begins near its blind value."""
PINNED = 0.03
"""D's mean loss stands at its blind value within this fraction of it.

With n_dis 1 healthy runs are a tenth below it, or more. Those with a slow D come as near as 1 %, and G learns all the
same: what tells them from the ill ones, which are within 0.1 %, is that their scores rise.
"""
WON, MOSTLY = 0.05, 0.75
"""D has won where this fraction of its blind value is above most readings (so many of them) of its loss.

Most, not their mean: a D that has won still errs on single batches, and dearly without spectral norm. Healthy runs do
not come below a fifth.
"""
EXPLODED = 1e6
"""Losses of this size are those of weights that grew without bound, finite or not: healthy ones are below a hundred."""
MARGIN = 0.05
"""A score has moved if it did by more than this fraction of itself, and by more than its deviation at both ends.

Scores of a G that has settled wander by 1 or 2 %.
"""
ALIKE = 0.25
"""Pictures of a class that differ by less than this fraction of what real ones do are taken for a few, repeated.

By `shapes-cnn`, classes of healthy runs were at 0.9 or above; a G that draws one picture only was at 0.02, and one
whose Inception Score had fallen to 1.06 at 0.25.
"""
NAMED = 10
"""Classes that a message names at most."""
