"""Logits, for the metrics that cannot do without."""

from __future__ import annotations

from torch import Tensor

from sngan_cli.contracts import Features, UsageError


def class_logits(features: Features, metric: str) -> Tensor:
    """Logits (N, K); raises `UsageError`, naming the metric, where the extractor tells no classes apart."""
    if not features.logits.shape[1]:
        raise UsageError(
            f"{metric} needs an extractor that tells classes apart, and this one gives features alone: choose another "
            "with --extractor, or compare features by `sngan evaluate --metric fid,kid,precision,recall`."
        )
    return features.logits
