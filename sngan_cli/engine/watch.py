"""Watch over a run's losses and weights."""

from __future__ import annotations

import torch

from sngan_cli.engine.gan import Gan
from sngan_cli.engine.step import Losses, blind_loss
from sngan_cli.errors import DIVERGED, DivergedError
from sngan_cli.events import Noticed


class Watch:
    """Looks after the losses: that they are finite, and that the discriminator tells real from generated images.

    That cannot be told by a loss which is not above 0 where D tells nothing apart, such as Wasserstein's.
    """

    PATIENCE = 50
    """Readings in a row after which a beaten discriminator is reported."""

    def __init__(self, gan: Gan) -> None:
        self._gan = gan
        self._blind = blind_loss(gan.loss)
        self._finite = torch.ones((), dtype=torch.bool, device=gan.device)
        self._good_until = 0
        self._beaten = 0

    def check(self, losses: Losses, step: int, *, read: bool) -> dict[str, float] | None:
        """Keep watch without waiting for the device; where `read`, return the losses or raise `DivergedError`."""
        known = {"loss_d": losses.discriminator, "loss_g": losses.generator, "penalty": losses.penalty}
        told = {name: loss for name, loss in known.items() if loss is not None}
        values_of_step = torch.stack([loss.float() for loss in told.values()])
        self._finite &= torch.isfinite(values_of_step).all()
        if not read:
            return None
        self._gan.world.average([values_of_step])
        values = dict(zip(told, values_of_step.tolist(), strict=True))
        if self._gan.world.any(not self._finite):
            said = ", ".join(f"{name} = {value:.4g}" for name, value in values.items())
            raise self._diverged(f"a loss became NaN or infinite by step {step} ({said})")
        self._good_until = step
        return values

    def check_weights(self, step: int) -> None:
        """Raise `DivergedError` where a loss or weight is no longer finite, so that no such checkpoint is written."""
        networks = [n for n in (self._gan.generator, self._gan.discriminator, self._gan.averaged) if n is not None]
        tensors = [t for network in networks for t in network.state_dict().values() if t.is_floating_point()]
        finite = all(bool(torch.isfinite(t).all()) for t in tensors)
        if self._gan.world.any(not (finite and self._finite)):
            raise self._diverged(f"a loss or weight became NaN or infinite by step {step}")

    def notices(self, step: int, values: dict[str, float] | None) -> list[Noticed]:
        """Say once, each time it sets in, that D does no better than one that tells nothing apart."""
        if values is None:
            return []
        beaten = 0 < self._blind * (1 - 1e-3) < values["loss_d"]
        self._beaten = self._beaten + 1 if beaten else 0
        if self._beaten != self.PATIENCE:
            return []
        return [
            Noticed(
                step,
                "beaten",
                f"The discriminator does not tell real from generated images: for {self.PATIENCE} readings its loss "
                f"has been no better than {self._blind:.3f}, where it tells nothing apart ({values['loss_d']:.3f} at "
                "the last). Try a larger --n-dis or --lr-d, or a smaller --lr-g; `sngan runs doctor` says more.",
            )
        ]

    def _diverged(self, what: str) -> DivergedError:
        since = f"; all was well at step {self._good_until}" if self._good_until else ""
        return DivergedError(f"{DIVERGED}: {what}{since}. Try a smaller --lr-d and --lr-g, or --norm spectral.")
