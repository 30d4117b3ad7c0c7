"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sngan_cli.contracts import Loss
from sngan_plugins.losses.cross_entropy import CrossEntropy
from sngan_plugins.losses.hinge import Hinge

REAL, FAKE = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 1.0])


def test_hinge_by_hand() -> None:
    # D: mean(0, 0.5, 2) + mean(0, 2) = 2.5 / 3 + 1;  G: -mean(-3, 1) = 1
    assert Hinge().discriminator(REAL, FAKE).item() == pytest.approx(2.5 / 3 + 1)
    assert Hinge().generator(FAKE).item() == pytest.approx(1.0)


def test_hinge_gradient_stops_beyond_the_margin() -> None:
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    Hinge().discriminator(real, fake).backward()
    torch.testing.assert_close(real.grad, torch.tensor([0.0, -1 / 3, -1 / 3]))
    torch.testing.assert_close(fake.grad, torch.tensor([0.0, 1 / 2]))


def test_cross_entropy_by_hand() -> None:
    # At logits of +-log 3 the logistic is 3/4 and 1/4.
    real, fake = torch.tensor([math.log(3), -math.log(3)]), torch.tensor([math.log(3)])
    # D: mean(-log 3/4, -log 1/4) - log(1 - 3/4);  G: -log 3/4
    expected = (math.log(4 / 3) + math.log(4)) / 2 + math.log(4)
    assert CrossEntropy().discriminator(real, fake).item() == pytest.approx(expected)
    assert CrossEntropy().generator(fake).item() == pytest.approx(math.log(4 / 3))


def test_cross_entropy_stays_finite_where_the_logistic_saturates() -> None:
    far = torch.tensor([-1000.0], requires_grad=True)
    loss = CrossEntropy().generator(far)
    loss.backward()
    assert loss.item() == 1000.0
    assert far.grad is not None
    assert far.grad.item() == -1.0


@pytest.mark.parametrize(("loss", "value"), [(Hinge(), 2.0), (CrossEntropy(), 2 * math.log(2))])
def test_loss_of_a_discriminator_that_tells_nothing_apart(loss: Loss, value: float) -> None:
    assert loss.discriminator(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(value)
