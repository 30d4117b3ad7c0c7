"""The least-squares GAN loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli.contracts import Loss

if TYPE_CHECKING:
    from torch import Tensor


class LeastSquares(Loss, contract=1):
    """Least-squares loss: logits are regressed to targets (Mao et al., "Least Squares GANs", 2017, eq. 2)."""

    real: float = 1.0
    """Target of D for real images, and of G for its own."""
    fake: float = 0.0
    """Target of D for generated images."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Half the mean squared distance of each kind of image to its target."""
        return ((real_logits - self.real).square().mean() + (fake_logits - self.fake).square().mean()) / 2

    def generator(self, fake_logits: Tensor) -> Tensor:
        """Half the mean squared distance of generated images to the target of real ones."""
        return (fake_logits - self.real).square().mean() / 2
