"""Latents, paths between them, and classes between classes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from sngan_cli.engine import sampling
from sngan_cli.errors import ComponentError, UsageError


class Echo(nn.Module):
    """Draws its class's colour, brighter with the first latent."""

    latent_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Embedding(3, 3)
        self.norm = nn.BatchNorm2d(3)
        with torch.no_grad():
            self.colour.weight.copy_(torch.tensor([[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return self.colour(y).view(-1, 3, 1, 1).expand(-1, 3, 2, 2)


def test_linear_paths_go_straight_from_end_to_end() -> None:
    z1, z2 = torch.randn(2, 5), torch.randn(2, 5)
    way = sampling.path(z1, z2, 3, "linear").view(2, 3, 5)
    torch.testing.assert_close(way[:, 0], z1)
    torch.testing.assert_close(way[:, 1], (z1 + z2) / 2)
    torch.testing.assert_close(way[:, 2], z2)


def test_spherical_paths_keep_to_the_great_circle() -> None:
    z1, z2 = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    way = sampling.path(z1, z2, 3, "spherical")
    half = 2**-0.5
    torch.testing.assert_close(way, torch.tensor([[1.0, 0.0], [half, half], [0.0, 1.0]]), atol=1e-5, rtol=0)


def test_spherical_paths_between_equal_latents_stand_still() -> None:
    z = torch.randn(1, 8)
    way = sampling.path(z, z, 4, "spherical")
    torch.testing.assert_close(way, z.expand(4, -1), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("colour", [math.nan, math.inf])
def test_images_that_are_not_finite_are_refused(colour: float) -> None:
    generator = Echo()
    nn.init.constant_(generator.colour.weight, colour)
    with pytest.raises(ComponentError, match=r"^The generator gives NaN or infinite images in evaluation mode: take"):
        sampling.images(generator, torch.zeros(3, 4), torch.tensor([0, 1, 2]), seed=0)


def test_images_round_to_the_nearest_level_and_keep_the_mode() -> None:
    generator = Echo().train()
    drawn = sampling.images(generator, torch.zeros(3, 4), torch.tensor([0, 1, 2]), seed=0)
    assert drawn.dtype == torch.uint8
    assert drawn[:, 0, 0, 0].tolist() == [0, 128, 255]
    assert generator.training
    sampling.images(generator.eval(), torch.zeros(3, 4), torch.tensor([0, 1, 2]), seed=0)
    assert not generator.training


def test_a_class_path_begins_at_one_class_and_ends_at_the_other() -> None:
    drawn = sampling.class_paths(Echo(), torch.zeros(2, 4), 0, 2, 5, seed=0)
    assert drawn.view(2, 5, -1)[:, :, 0].tolist() == [[0, 64, 128, 191, 255]] * 2


def test_a_generator_without_embeddings_has_nothing_between_classes() -> None:
    with pytest.raises(UsageError, match="embeds no classes"), sampling.between_classes(nn.Linear(1, 1), 0, 1, 0.5):
        pass


class Placed(Echo):
    """Adds noise of its own, and what it has learned of two positions, to its class's colour."""

    def __init__(self) -> None:
        super().__init__()
        self.place, self.few = nn.Embedding(3, 1), nn.Embedding(1, 1)
        nn.init.zeros_(self.few.weight)
        with torch.no_grad():
            self.place.weight.copy_(torch.tensor([[0.0], [-0.5], [0.5]]))

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        places = (self.place(torch.tensor([1, 2])) + self.few(torch.tensor([0, 0]))).view(1, 1, 1, 2)
        return super().forward(z, y) / 2 + places + 0.1 * torch.randn(len(z), 3, 2, 2)


def test_positions_are_no_classes() -> None:
    drawn = sampling.class_paths(Placed(), torch.zeros(200, 4), 0, 2, 3, seed=0).view(200, 3, 3, 2, 2).float()
    left, right = ((drawn[..., k].mean((0, 2, 3)) / 127.5 - 1).tolist() for k in (0, 1))
    assert left == pytest.approx([-0.95, -0.5, 0.0], abs=0.05)  # what is below black is cut off
    assert right == pytest.approx([0.0, 0.5, 0.95], abs=0.05)


def test_along_a_class_path_nothing_but_the_class_changes() -> None:
    way = sampling.class_paths(Placed(), torch.zeros(3, 4), 1, 1, 2, seed=0).view(3, 2, 3, 2, 2)
    assert torch.equal(way[:, 0], way[:, 1])


def test_a_generators_own_random_numbers_are_of_the_seed_and_no_others_move() -> None:
    generator, z, y = Placed(), torch.zeros(2, 4), torch.ones(2, dtype=torch.int64)
    before = torch.get_rng_state()
    one, again, other = (sampling.images(generator, z, y, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])
    torch.manual_seed(5)
    assert torch.equal(sampling.images(generator, z, y, seed=3), one)
    torch.set_rng_state(before)
    sampling.standing_statistics(generator.eval(), 3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_class_paths_of_a_real_generator_end_at_its_classes(tiny: Any) -> None:
    from sngan_cli.contracts import NetworkShape

    composition = tiny()
    generator = composition.arch_g.generator(NetworkShape(8, 3), composition.norm_g).eval()
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_()
    z = sampling.latents(generator, 2, 0, "test")
    way = sampling.class_paths(generator, z, 0, 2, 3, seed=0).view(2, 3, 3, 8, 8)
    for k, label in ((0, 0), (2, 2)):
        assert torch.equal(way[:, k], sampling.images(generator, z, torch.full((2,), label), seed=0))
    assert not torch.equal(way[:, 1], way[:, 0])


@pytest.mark.parametrize(
    ("count", "classes", "columns"),
    [(64, None, 8), (65, None, 9), (1, None, 1), (64, 10, 7), (100, 10, 10), (5, 10, 1)],
)
def test_sheets_are_square_or_have_a_class_a_row(count: int, classes: int | None, columns: int) -> None:
    assert sampling.columns_of(count, classes) == columns


def test_sheet_labels() -> None:
    assert sampling.sheet_labels(None, None, 4, 2) is None
    found = sampling.sheet_labels(2, None, 6, 2)
    assert found is not None
    assert found.tolist() == [0, 0, 1, 1, 0, 0]
    chosen = sampling.sheet_labels(5, 3, 2, 2)
    assert chosen is not None
    assert chosen.tolist() == [3, 3]


def test_truncated_latents_stay_within_and_follow_the_normal_distribution() -> None:
    z = sampling.latents(Echo(), 20_000, 0, "test", truncation=0.8)
    assert z.abs().max() <= 0.8
    # Variance of a normal distribution cut off at +-t: 1 - 2 t pdf(t) / (2 cdf(t) - 1); 0.19 for t = 0.8.
    density, within = math.exp(-0.32) / math.sqrt(2 * math.pi), math.erf(0.8 / math.sqrt(2))
    assert z.var().item() == pytest.approx(1 - 2 * 0.8 * density / within, rel=0.01)
    assert torch.equal(z, sampling.latents(Echo(), 20_000, 0, "test", truncation=0.8))


def test_latents_follow_the_normal_distribution_and_their_seed_and_purpose() -> None:
    z = sampling.latents(Echo(), 20_000, 0, "test")
    assert (z.mean().item(), z.var().item()) == pytest.approx((0, 1), abs=0.02)
    assert z.abs().max() > 3.5
    drawn = [sampling.latents(Echo(), 3, seed, purpose) for seed, purpose in ((0, "a"), (0, "b"), (1, "a"))]
    assert len({tuple(each.flatten().tolist()) for each in drawn}) == 3


def test_labels_are_of_each_class_as_many_in_random_order() -> None:
    y = sampling.labels(1003, 10, None, 0)
    assert sorted(torch.bincount(y).tolist()) == [100] * 7 + [101] * 3
    # Of a hundred in a row some classes are drawn more often than others, and some not much.
    counts = torch.bincount(y[:100], minlength=10)
    assert 0 < counts.min() < counts.max() < 30
    assert torch.equal(y, sampling.labels(1003, 10, None, 0))
    assert not torch.equal(y, sampling.labels(1003, 10, None, 1))


def test_labels_follow_frequencies_where_they_are_given() -> None:
    y = sampling.labels(10_000, 3, [3.0, 0.0, 1.0], 0)
    assert torch.bincount(y, minlength=3).tolist() == pytest.approx([7500, 0, 2500], abs=150)
    assert not torch.equal(y, sampling.labels(10_000, 3, [3.0, 0.0, 1.0], 1))


class Wide(nn.Module):
    """Draws its latents and the class as grey levels of a row."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones(()))

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (torch.cat([z, y.unsqueeze(1)], 1) / 127.5 - self.unit).view(-1, 1, 1, 3).expand(-1, 3, 1, 3)


def test_images_of_several_batches_are_in_the_order_of_latents_and_labels() -> None:
    numbers = torch.arange(250)
    z = torch.stack([numbers, numbers.flip(0)], 1).float()
    drawn = sampling.images(Wide(), z, numbers % 7, seed=0)
    expected = torch.cat([z, (numbers % 7).unsqueeze(1)], 1).to(torch.uint8)
    assert torch.equal(drawn, expected.view(250, 1, 1, 3).expand(250, 3, 1, 3))


def test_images_as_arrays_keep_rows_and_columns() -> None:
    images = torch.arange(2 * 3 * 2 * 4, dtype=torch.uint8).view(2, 3, 2, 4)
    found = sampling.to_arrays(images)
    assert found.shape == (2, 2, 4, 3)
    assert found[1, 0, 3].tolist() == images[1, :, 0, 3].tolist()


class Scaled(nn.Module):
    """Normalises latents, scaled by the class; the weight has outgrown the norm's running statistics."""

    latent_dim = 2

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.scale, self.norm = nn.Parameter(torch.tensor([3.0, 4.0])), norm
        self.dropout = nn.Dropout(0.5)

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.norm(self.dropout((z * self.scale[y].unsqueeze(1)).view(-1, 2, 1, 1)))


def test_standing_statistics_are_those_of_generated_images() -> None:
    norm = nn.BatchNorm2d(2)
    generator = Scaled(norm).eval()
    sampling.standing_statistics(generator, 2, seed=0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # Half of the latents have a variance of 9, half of 16.
    torch.testing.assert_close(norm.running_mean, torch.zeros(2), rtol=0, atol=0.15)
    torch.testing.assert_close(norm.running_var, torch.full((2,), 12.5), rtol=0.05, atol=0)
    assert not norm.training
    before = norm.running_var.clone()
    sampling.standing_statistics(generator, 2, seed=0, truncation=0.8)
    assert (norm.running_var < before / 4).all()


def test_standing_statistics_follow_from_the_seed() -> None:
    found = []
    for seed in (0, 0, 1):
        norm = nn.BatchNorm2d(2)
        sampling.standing_statistics(Scaled(norm).train(), 2, seed=seed)  # dropout draws at random
        found.append(norm.running_var)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("norm", [nn.Identity(), nn.BatchNorm2d(2, track_running_stats=False)])
def test_standing_statistics_need_a_batch_norm_that_keeps_them(norm: nn.Module) -> None:
    with pytest.raises(UsageError, match="Scaled has no batch norm"):
        sampling.standing_statistics(Scaled(norm), 2, seed=0)
