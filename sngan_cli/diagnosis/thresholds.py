"""From where on something is said of a run, and why from there."""

from __future__ import annotations

SEVERITY = ("diverged", "beaten", "pinned", "won", "collapsed", "alike", "falling", "recovered", "untold", "healthy")
"""Kinds of findings, the worst first: what ends a run, then what keeps it from learning, then what shows in its scores.

`recovered` is the rank of what is over; such a finding keeps its kind.
"""

ENOUGH = 50
"""Readings of D's loss below which nothing is said of it: the patience of the notice given while training."""
WINDOW = 20
"""Losses are smoothed by a running mean over this part (one n-th) of the readings, as one batch tells little."""
LONG = 4
"""A loss must stand somewhere for this part (one n-th) of the run: every run begins near its blind value."""
PINNED, UNSCORED = 0.03, 0.001
"""D does no better than blind where its loss is above its blind value, or below by less than this fraction of it.

In the mean, and by most readings. With n_dis 1 healthy runs are a tenth below it, or more. Those with a slow D come as
near as 1 %, and G learns all the same: what tells them from the ill ones is that their scores rise. Where there are no
scores the smaller fraction counts: ill ones, which stand at their blind value or at 2 to 4 times it, have no reading
below that, and those that come near it in the mean have 2 to 5 in 10.
"""
MOSTLY = 0.75
"""Most readings are so many of them."""
WON = 0.05
"""D has won where this fraction of its blind value is above most readings of its loss.

Most, not their mean: a D that has won still errs on single batches, and dearly without spectral norm. Healthy runs do
not come below a fifth.
"""
EXPLODED = 1e6
"""Losses of this size are those of weights that grew without bound, finite or not: healthy ones are below a hundred."""
MARGIN = 0.05
"""A score has moved if it did by more than this fraction of itself, and by more than its deviation at both ends.

Scores of a G that has settled wander by 1 or 2 %.
"""
FRACTIONS = {"accuracy": "images", "precision": "images", "recall": "real", "coverage": "real"}
"""Metrics that are a fraction of images, and what evidence calls their number: from both follows how far it errs."""
ERRORS = 2
"""Standard errors that stand for the deviation of a fraction: one is less than what splits of it would show."""
ALIKE = 0.25
"""Pictures of a class that differ by less than this fraction of what real ones do are taken for a few, repeated.

By `shapes-cnn`, classes of healthy runs were at 0.9 or above; a G that draws one picture only was at 0.02, and one
whose Inception Score had fallen to 1.06 at 0.25.
"""
ONE = 1.05
"""An Inception Score below this is that of pictures which are all alike to the classifier: 1 is the least there is.

Runs whose D was outrun, or pinned for long, came to 1.00; others, at rates far too low too, had 1.06 or more.
"""
TRAINED = 500
"""Steps before which alike pictures are no finding: every G begins with them."""
VARIETY = ("recall", "coverage", "diversity")
"""Metrics that rise with how varied pictures are, be each of them good or bad."""
NAMED = 10
"""Classes that a message names at most."""
