"""Hand-computed values of the loss."""

from pathlib import Path

import pytest
import torch

from sngan_cli.conformance import broken
from sngan_example.least_squares import LeastSquares


def test_both_losses_by_hand() -> None:
    loss = LeastSquares()
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    # D: ((0 + 4) / 2 + (0 + 4) / 2) / 2 = 2;  G: ((-1)^2 + 1^2) / 2 / 2 = 0.5
    assert loss.discriminator(real, fake).item() == pytest.approx(2.0)
    assert loss.generator(fake).item() == pytest.approx(0.5)


def test_targets_are_options() -> None:
    assert LeastSquares(real=2.0).generator(torch.tensor([2.0])).item() == 0.0


def test_it_keeps_the_promises_of_its_contract(tmp_path: Path) -> None:
    assert broken(LeastSquares(), tmp_path) == []
