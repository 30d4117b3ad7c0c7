"""The cross-entropy loss of the first GAN, non-saturating."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import softplus

from sngan_cli.contracts import Loss

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(Loss, contract=1):
    """Cross-entropy with the non-saturating generator loss (Goodfellow et al., "Generative Adversarial Nets", 2014)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """-E[log s(D(x))] - E[log(1 - s(D(G(z))))] with the logistic s; 2 log 2 where D tells nothing apart."""
        return softplus(-real_logits).mean() + softplus(fake_logits).mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        """-E[log s(D(G(z)))]."""
        return softplus(-fake_logits).mean()
