"""The Inception Score."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from sngan_cli.contracts import Features, Field, Metric, UsageError
from sngan_plugins.logits import class_logits

_BIASED = 0.1
"""A score that is lower by so large a part of it than that of many images is remarked on."""
_FEW = 10
"""Splits of fewer images are remarked on whatever these are: they do not tell how much lower their score is."""


class InceptionScore(Metric, contract=1):
    """Inception Score: exp(E[KL(p(y|x) || p(y))]), averaged over splits (Salimans et al., 2016)."""

    splits: int = Field(default=10, ge=1)
    """Parts that the images are divided into; the score is the mean over them."""

    def accumulator(self, images: int) -> Splits:
        """Start a score over `images` images."""
        if images < 2 * self.splits:
            raise UsageError(
                f"An Inception Score with splits = {self.splits} needs two images in each at least ({2 * self.splits} "
                f"in all), not {images}: that of one image is 1, whatever it shows. Score more of them, or lower "
                "--set metrics.is.splits."
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
        self._sum_squares: list[Tensor | float] = [0.0] * splits
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
            self._sum_squares[split] = self._sum_squares[split] + p.square().sum(0).cpu()
            self._sum_plogp[split] += (p * part).sum().item()
            self._counts[split] += len(part)
            self._seen += len(part)

    def result(self) -> tuple[float, float | None]:
        """Mean over the splits, and their standard deviation (of the population, as is usual for this score).

        A single split says nothing of a deviation.
        """
        scores = torch.tensor([self._score(k) for k in range(len(self._ends))], dtype=torch.float64)
        return scores.mean().item(), scores.std(correction=0).item() if len(scores) > 1 else None

    def remark(self) -> str | None:
        """Say where splits are so small that the score is far below that of many images."""
        fewest = min(self._counts)
        if fewest < _FEW:
            return f"{fewest} images in a split are too few to tell how far the score is below that of many"
        lower = 1 - math.exp(-sum(map(self._bias, range(len(self._ends)))) / len(self._ends))
        if lower < _BIASED:
            return None
        return f"{fewest} images in a split are few: the score is some {lower:.0%} or more below that of many"

    def _bias(self, split: int) -> float:
        """What the entropy of q, estimated from N images, lacks: sum over classes of Var(p) / q / 2 N, to first order.

        The second-order term of the entropy's expansion about the true q (Miller, 1955, has it of counts). Var(p) is
        the unbiased estimate, N / (N - 1) times the images' own.
        """
        count, p = self._counts[split], torch.as_tensor(self._sum_p[split])
        seen = p > 0
        biased = (torch.as_tensor(self._sum_squares[split])[seen] / p[seen] - p[seen] / count).sum().item()
        return biased / (2 * (count - 1))

    def _score(self, split: int) -> float:
        """exp(mean of sum p log p, less sum q log q), with q the mean of p."""
        q = torch.as_tensor(self._sum_p[split]) / self._counts[split]
        entropy = torch.xlogy(q, q).sum().item()
        return math.exp(self._sum_plogp[split] / self._counts[split] - entropy)
