"""Which real images a score looks at."""

from __future__ import annotations

import numpy as np

from sngan_cli.engine.evaluation import _evenly


def test_real_images_are_taken_evenly_from_the_classes() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [2] * 3)
    chosen = _evenly(labels, 12)
    assert np.bincount(labels[chosen]).tolist() == [5, 4, 3]
    assert len(set(chosen.tolist())) == 12
    assert chosen.tolist() == _evenly(labels, 12).tolist()
    assert sorted(_evenly(labels, 1000).tolist()) == list(range(58))
    assert sorted(labels[chosen[:3]].tolist()) == [0, 1, 2]
