"""Training a classifier: what is held out, what pictures it sees, and that it learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sngan_cli.engine import classifier
from sngan_cli.engine.classifier import Plan, Split, Trained, augmented, build, chance, cut_out, one_cycle, split, train
from sngan_cli.engine.data import derived_seed
from sngan_cli.errors import DivergedError
from sngan_plugins.datasets.shapes import Shapes
from sngan_plugins.extractors.classifier import Classifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shapes() -> tuple[np.ndarray, np.ndarray]:
    pictures = Shapes(images=600).open(None, Path())
    made = [pictures.read(k, 8) for k in range(600)]
    return np.stack([pixels for pixels, _ in made]), np.array([label for _, label in made])


def plan(**changed: object) -> Plan:
    return Plan(**{"epochs": 2, "batch_size": 16, "lr": 0.1, "flip": True, "cutout": 0, "seed": 0, **changed})  # type: ignore[arg-type]


def shown(images: np.ndarray, **changed: object) -> torch.Tensor:
    """What the network is shown (N, 3, 8, 8) while it is trained on all pictures but the last two."""
    seen: list[torch.Tensor] = []
    network = build(Classifier(width=4), 8, 2, 0, CPU)
    network.register_forward_pre_hook(lambda module, given: seen.extend(given if module.training else ()))
    count = len(images)
    parts = Split(np.arange(count - 2), np.arange(count - 2, count), ())
    train(network, images, np.arange(count) % 2, parts, plan=plan(**changed), bf16=False, observe=lambda _: None)
    return torch.cat(seen)


def test_each_class_is_held_out_in_the_same_part_and_nothing_is_in_both() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    parts = split(labels, 0.1, seed=3)
    assert np.bincount(labels[parts.held_out]).tolist() == [10, 5, 1]
    assert sorted([*parts.training, *parts.held_out]) == list(range(160))
    assert parts.alone == ()


def test_the_seed_alone_decides_what_is_held_out() -> None:
    labels = np.arange(200) % 4
    assert split(labels, 0.2, 5).held_out.tolist() == split(labels, 0.2, 5).held_out.tolist()
    assert split(labels, 0.2, 5).held_out.tolist() != split(labels, 0.2, 6).held_out.tolist()


def test_what_is_held_out_has_random_numbers_of_its_own() -> None:
    """Those of the bare seed are what others draw by it."""
    own = np.random.default_rng(derived_seed(5, "held out")).permutation(200)
    assert split(np.zeros(200, np.int64), 0.2, 5).held_out.tolist() == sorted(own[:40])


def test_small_classes_keep_one_picture_on_either_side_and_single_ones_are_trained_on() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2])
    parts = split(labels, 0.001, seed=0)
    assert sorted(labels[parts.held_out]) == [0, 2]
    assert sorted(labels[parts.training]) == [0, 1, 2, 2]
    assert parts.alone == (1,)
    assert sorted(labels[split(labels, 0.9, seed=0).training]) == [0, 1, 2]


def test_chance_is_the_most_frequent_class_and_two_deviations_of_luck() -> None:
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    share, luck = chance(labels, np.arange(100))
    assert share == 0.6
    assert luck == pytest.approx(0.6 + 2 * 0.0489897949)  # sqrt(0.6 * 0.4 / 100)
    assert chance(labels, np.arange(60, 64)) == (1.0, 1.0)  # nothing is above a class that is alone


def test_the_rate_rises_for_a_fifth_of_the_steps_and_falls_towards_nothing() -> None:
    factors = [one_cycle(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 21)
    assert factors.index(max(factors)) == 20
    assert factors[20] == 1
    assert factors[-1] == pytest.approx(1 / 80)
    assert 0 < one_cycle(0, 1) <= 1


def test_pictures_are_shifted_by_reflection_and_mirrored() -> None:
    ramp = torch.arange(8, dtype=torch.uint8).expand(8, 8)  # x, and its transpose y, in two channels
    picture = torch.stack([ramp, ramp.T, torch.zeros_like(ramp)], dim=2)[None]
    seen = augmented(picture, torch.zeros(300, dtype=torch.int64), True, torch.Generator().manual_seed(0))
    assert seen.shape == (300, 3, 8, 8)
    rows = {tuple(row.tolist()) for row in seen[:, 0, 0]}
    still, left, right = (0, 1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, 7, 6), (1, 0, 1, 2, 3, 4, 5, 6)
    assert rows == {still, left, right, still[::-1], left[::-1], right[::-1]}
    columns = {tuple(column.tolist()) for column in seen[:, 1, :, 0]}
    assert columns == {still, left, right}
    share = (seen[:, 0, 0, 2] > seen[:, 0, 0, 5]).float().mean()
    assert 0.45 < share < 0.55, "half of them are mirrored"
    unflipped = augmented(picture, torch.zeros(300, dtype=torch.int64), False, torch.Generator().manual_seed(0))
    assert {tuple(row.tolist()) for row in unflipped[:, 0, 0]} == {still, left, right}


@pytest.mark.parametrize(("side", "whole"), [(1, 1), (2, 4), (3, 9)])
def test_a_square_of_each_picture_is_hidden_and_some_lie_in_part_outside(side: int, whole: int) -> None:
    bright = torch.full((2000, 3, 8, 8), 255, dtype=torch.uint8)
    hidden = cut_out(bright, side, torch.Generator().manual_seed(0)) == 128
    assert (hidden == hidden[:, :1]).all(), "all channels alike"
    sizes = hidden[:, 0].sum((1, 2))
    assert sizes.max() == whole
    assert set(sizes.tolist()) == {
        h * w for h in range((side + 1) // 2, side + 1) for w in range((side + 1) // 2, side + 1)
    }
    centres = hidden[:, 0].float().mean(0)
    assert centres.min() > 0, "every place is hidden in some picture"
    assert bright.min() == 255, "the pictures that were given stay as they are"


@pytest.mark.parametrize("flip", [True, False])
def test_half_of_the_pictures_are_mirrored_in_training_where_that_is_asked_for(flip: bool) -> None:
    ramps = np.broadcast_to(10 * np.arange(8, dtype=np.uint8)[:, None], (34, 8, 8, 3)).copy()
    seen = shown(ramps, flip=flip)
    mirrored = (seen[..., 2] > seen[..., 5]).float().mean()
    assert (0.3 < mirrored < 0.7) if flip else mirrored == 0


@pytest.mark.parametrize("side", [0, 2])
def test_a_square_of_the_side_that_is_asked_for_is_hidden_in_training(side: int) -> None:
    seen = shown(np.full((18, 8, 8, 3), 255, np.uint8), cutout=side)
    hidden = seen < 1
    assert torch.allclose(seen[hidden], torch.tensor(128 / 127.5 - 1), atol=1e-6), "grey"
    assert hidden[:, 0].sum((1, 2)).max() == side**2


def test_every_pass_shows_all_pictures_once_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []

    def recorded(pixels: torch.Tensor, index: torch.Tensor, *more: Any) -> torch.Tensor:
        chosen.extend(index.tolist())
        return augmented(pixels, index, *more)

    monkeypatch.setattr(classifier, "augmented", recorded)
    shown(np.zeros((34, 8, 8, 3), np.uint8))
    first, second = chosen[:32], chosen[32:]
    assert sorted(first) == sorted(second) == list(range(32))
    assert len({tuple(first), tuple(second), tuple(range(32))}) == 3


def test_fewer_pictures_than_a_batch_are_one() -> None:
    assert len(shown(np.zeros((8, 8, 8, 3), np.uint8), batch_size=100)) == 2 * 6


def test_the_optimiser_is_nesterovs_in_one_cycle_and_norms_and_biases_do_not_decay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates: list[float] = []
    made: list[torch.optim.Optimizer] = []

    class Watched(torch.optim.SGD):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            made.append(self)

        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "SGD", Watched)
    shown(np.zeros((12, 8, 8, 3), np.uint8), batch_size=2, lr=0.3)
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.2625, 0.225, 0.1875, 0.15, 0.1125, 0.075, 0.0375])
    (optimizer,) = made
    for group, (decay, dimensions) in zip(optimizer.param_groups, [(5e-4, {2, 4}), (0, {1})], strict=True):
        assert (group["weight_decay"], group["momentum"], group["nesterov"]) == (decay, 0.9, True)
        assert {p.ndim for p in group["params"]} == dimensions
    network = build(Classifier(width=4), 8, 2, 0, CPU)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_the_loss_is_the_cross_entropy_of_the_labels_as_they_are() -> None:
    """Logits of log 3 and 0 give the first class three quarters."""
    network = build(Classifier(width=4), 8, 2, 0, CPU)
    last: Any = network.classifier
    nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([3.0, 1.0]).log()
    seen: list[Trained] = []
    images, labels, parts = (
        np.zeros((6, 8, 8, 3), np.uint8),
        np.zeros(6, np.int64),
        Split(np.arange(4), np.arange(4, 6), ()),
    )
    train(network, images, labels, parts, plan=plan(epochs=1), bf16=False, observe=seen.append)
    assert [p.loss for p in seen] == [pytest.approx(-math.log(3 / 4))]


@pytest.mark.parametrize("bf16", [False, True])
def test_it_learns_shapes_that_it_is_not_shown(shapes: tuple[np.ndarray, np.ndarray], bf16: bool) -> None:
    images, labels = shapes
    parts = split(labels, 0.2, seed=0)
    seen: list[Trained] = []
    network = build(Classifier(width=8), 8, 10, 0, CPU)
    kinds: list[tuple[bool, torch.dtype]] = []
    network.register_forward_hook(lambda module, _, logits: kinds.append((module.training, logits.dtype)))
    accuracy = train(network, images, labels, parts, plan=plan(epochs=12), bf16=bf16, observe=seen.append)
    assert accuracy > 0.35, "chance is 0.1"
    assert not network.training
    assert [p.step for p in seen] == list(range(1, 12 * 30 + 1))
    assert {(p.total, p.epoch) for p in seen} == {(360, epoch) for epoch in range(1, 13)}
    assert [p.step for p in seen if p.accuracy is not None] == list(range(30, 361, 30))
    assert seen[-1].accuracy == accuracy
    low = torch.bfloat16 if bf16 else torch.float32
    assert kinds == ([(True, low)] * 30 + [(False, low)]) * 11 + [(True, low)] * 30 + [(False, torch.float32)]
    x = torch.from_numpy(images[parts.held_out]).permute(0, 3, 1, 2) / 127.5 - 1
    right = network(x).argmax(1).numpy() == labels[parts.held_out]
    assert accuracy == pytest.approx(right.mean())


def test_the_seed_decides_the_weights(shapes: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = shapes[0][:100], shapes[1][:100]

    def trained(initial: int, seed: int) -> torch.Tensor:
        network = build(Classifier(width=4), 8, 10, initial, CPU)
        train(
            network,
            images,
            labels,
            split(labels, 0.1, 0),
            plan=plan(epochs=1, seed=seed),
            bf16=False,
            observe=lambda _: None,
        )
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    assert torch.equal(trained(1, 1), trained(1, 1))
    assert not torch.equal(trained(1, 1), trained(1, 2))
    assert not torch.equal(trained(1, 1), trained(2, 1))


def test_held_out_pictures_teach_nothing() -> None:
    """Were they trained on, their random labels would be learnt."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), random.integers(0, 2, 40)
    parts = Split(np.arange(20), np.arange(20, 40), ())
    results = []
    for changed in (labels, np.concatenate([labels[:20], 1 - labels[20:]])):
        network = build(Classifier(width=4), 8, 2, 0, CPU)
        results.append(train(network, images, changed, parts, plan=plan(epochs=3), bf16=False, observe=lambda _: None))
    assert sum(results) == pytest.approx(1)


@pytest.mark.parametrize("bias", [math.nan, -math.inf])
def test_a_loss_that_is_not_finite_ends_the_training(shapes: tuple[np.ndarray, np.ndarray], bias: float) -> None:
    images, labels = shapes
    network = build(Classifier(width=4), 8, 10, 0, CPU)
    last: Any = network.classifier
    last.bias.data[0] = bias  # the loss of this class becomes infinite by the latter
    with pytest.raises(DivergedError, match=r"diverged in pass 1 of 2, with learning rates up to 0\.1: give a smaller"):
        train(network, images, labels, split(labels, 0.1, 0), plan=plan(), bf16=False, observe=lambda _: None)
