"""The Inception Score."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from sngan_cli.contracts import Features, Field, Metric, UsageError
from sngan_plugins.logits import class_logits


class InceptionScore(Metric, contract=1):
    """Inception Score: exp(E[KL(p(y|x) || p(y))]), averaged over splits (Salimans et al., 2016)."""

    splits: int = Field(default=10, ge=1)
    """Parts that the images are divided into; the score is the mean over them."""

    def accumulator(self, images: int) -> Splits:
        """Start a score over `images` images."""
        if images < self.splits:
            raise UsageError(
                f"An Inception Score in {self.splits} splits needs at least as many images, not {images}: score "
                "more of them, or lower --set metrics.is.splits."
            )
        return Splits(images, self.splits)

    def protocol(self) -> Mapping[str, int | float | str]:
        """The number of splits."""
        return {"splits": self.splits}


class Splits:
    """Sums of p and p log p by split, in float64: enough for the score, whatever the batches were."""

    def __init__(self, images: int, splits: int):
        self._ends = [(k + 1) * images // splits for k in range(splits)]
        self._seen = 0
        self._sum_p: list[Tensor | float] = [0.0] * splits
        self._sum_plogp = [0.0] * splits
        self._counts = [0] * splits

    def add(self, features: Features) -> None:
        """Take in logits (N, K)."""
        log_p = log_softmax(class_logits(features, "The Inception Score").double(), dim=1)
        while len(log_p):
            split = next(k for k, end in enumerate(self._ends) if self._seen < end)
            room = self._ends[split] - self._seen
            part, log_p = log_p[:room], log_p[room:]
            p = part.exp()
            self._sum_p[split] = self._sum_p[split] + p.sum(0).cpu()
            self._sum_plogp[split] += (p * part).sum().item()
            self._counts[split] += len(part)
            self._seen += len(part)

    def result(self) -> tuple[float, float | None]:
        """Mean over the splits, and their standard deviation (of the population, as is usual for this score)."""
        scores = torch.tensor([self._score(k) for k in range(len(self._ends))], dtype=torch.float64)
        return scores.mean().item(), scores.std(correction=0).item()

    def _score(self, split: int) -> float:
        """exp(mean of sum p log p, less sum q log q), with q the mean of p."""
        q = torch.as_tensor(self._sum_p[split]) / self._counts[split]
        entropy = torch.xlogy(q, q).sum().item()
        return math.exp(self._sum_plogp[split] / self._counts[split] - entropy)
