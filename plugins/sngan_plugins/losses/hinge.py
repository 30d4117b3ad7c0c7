"""The hinge loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.contracts import Loss

if TYPE_CHECKING:
    from torch import Tensor


class Hinge(Loss, contract=1):
    """Hinge loss (Lim & Ye, "Geometric GAN", 2017; Miyato et al., 2018, eqs. 16 and 17)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]; 2 where D tells nothing apart."""
        return (1 - real_logits).relu().mean() + (1 + fake_logits).relu().mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        """-E[D(G(z))]."""
        return -fake_logits.mean()
