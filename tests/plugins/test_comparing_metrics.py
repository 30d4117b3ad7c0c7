"""FID, KID, precision, recall, density, coverage and intra-FID: by hand, and beside torch-fidelity's.

Also what all metrics have: a direction, and the least of their settings.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from sngan_cli.conformance.absent_gpu import GPU, absent_gpu
from sngan_cli.conformance.promises import UncheckedError
from sngan_cli.contracts import Features, UsageError
from sngan_plugins import neighbours
from sngan_plugins.metrics.accuracy import Accuracy
from sngan_plugins.metrics.coverage import Coverage
from sngan_plugins.metrics.density import Density
from sngan_plugins.metrics.diversity import Diversity
from sngan_plugins.metrics.fid import FrechetInceptionDistance, frechet_distance
from sngan_plugins.metrics.inception_score import InceptionScore
from sngan_plugins.metrics.intra_fid import IntraFid
from sngan_plugins.metrics.kid import KernelInceptionDistance
from sngan_plugins.metrics.precision import Precision
from sngan_plugins.metrics.recall import Recall


def compared(metric: Any, generated: Tensor, real: Tensor, labels: tuple[Tensor, Tensor] | None = None) -> Any:
    """The accumulator of a metric that has seen both, real images in batches of 100."""
    accumulator, reference = metric.accumulator(len(generated)), metric.reference(len(real))
    for target, x, y in ((accumulator, generated, 0), (reference, real, 1)):
        for start in range(0, len(x), 100):
            part = slice(start, start + 100)
            target.add(Features(x[part], x[part], labels and labels[y][part]))
    accumulator.against(reference.result())
    return accumulator


def value(metric: Any, generated: Tensor, real: Tensor) -> float:
    found: float = compared(metric, generated, real).result()[0]
    return found


@pytest.fixture(scope="module")
def both() -> tuple[Tensor, Tensor]:
    """Features like an Inception network's: positive, skewed, correlated; generated ones a little off."""
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(32, 32, generator=random)
    generated, real = (torch.randn(700, 32, generator=random) @ mixing for _ in range(2))
    return (generated * 1.1 + 0.5).relu(), real.relu()


def test_fid_is_torch_fidelitys(both: tuple[Tensor, Tensor]) -> None:
    statistics = [fid_features_to_statistics(x.double()) for x in both]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert value(FrechetInceptionDistance(), *both) == pytest.approx(expected, rel=1e-9)


def test_kid_is_torch_fidelitys(both: tuple[Tensor, Tensor]) -> None:
    expected = kid_features_to_metric(
        *(x.double() for x in both), kid_subsets=20, kid_subset_size=100, verbose=False, rng_seed=2020
    )
    found = compared(KernelInceptionDistance(subsets=20, subset_size=100), *both).result()
    assert found == pytest.approx(
        (expected["kernel_inception_distance_mean"], expected["kernel_inception_distance_std"]), rel=1e-9
    )


def test_kid_of_one_subset_has_no_deviation(both: tuple[Tensor, Tensor]) -> None:
    assert compared(KernelInceptionDistance(subsets=1, subset_size=100), *both).result()[1] is None


@pytest.mark.parametrize(("metric", "key"), [(Precision(), "precision"), (Recall(), "recall")])
def test_precision_and_recall_are_torch_fidelitys(both: tuple[Tensor, Tensor], metric: Any, key: str) -> None:
    expected = prc_features_to_metric(*both, prc_neighborhood=3, save_cpu_ram=False, verbose=False)
    assert 0.05 < expected[key] < 0.95
    assert value(metric, *both) == pytest.approx(expected[key], rel=1e-6)


def test_fid_of_gaussians_by_hand() -> None:
    """Between N(0, I) and N((3, 4), 4 I) in two dimensions: 25 + 2 (1 + 4 - 2 * 2) = 27."""
    eye = torch.eye(2, dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    assert frechet_distance(zero, eye, torch.tensor([3.0, 4.0]).double(), 4 * eye) == pytest.approx(27)
    assert frechet_distance(zero, eye, zero, eye) == pytest.approx(0, abs=1e-12)
    singular = torch.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    assert frechet_distance(zero, singular, zero, singular) == pytest.approx(0, abs=1e-7)
    # One point against N(0, I): |m|^2 + tr I.
    assert frechet_distance(torch.tensor([3.0, 4.0]).double(), 0 * eye, zero, eye) == pytest.approx(27)


def test_features_may_be_of_one_dimension() -> None:
    """Both are of N(m, s^2): the FID is the difference of means squared and that of deviations squared."""
    generated, real = torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    expected = (3 - 2.5) ** 2 + ((20 / 3) ** 0.5 - (5 / 3) ** 0.5) ** 2
    assert value(FrechetInceptionDistance(), generated, real) == pytest.approx(expected, rel=1e-6)
    labels = torch.zeros(4, dtype=torch.long)
    of_class, _ = compared(IntraFid(), generated, real, (labels, labels)).result()
    assert of_class == pytest.approx(expected, rel=1e-6)


def test_fid_is_exact_far_from_zero(both: tuple[Tensor, Tensor]) -> None:
    near = value(FrechetInceptionDistance(), *(x.double() for x in both))
    far = value(FrechetInceptionDistance(), *(x.double() + 1e6 for x in both))
    assert far == pytest.approx(near, rel=1e-8)


def test_fid_says_where_images_are_few(both: tuple[Tensor, Tensor]) -> None:
    few = compared(FrechetInceptionDistance(), both[0][:32], both[1])
    assert "32 images for 32 features" in few.remark()
    assert math.isfinite(few.result()[0])
    assert "20 images for 32 features" in compared(FrechetInceptionDistance(), both[0], both[1][:20]).remark()
    assert compared(FrechetInceptionDistance(), *both).remark() is None


def test_kid_says_where_subsets_leave_images_out(both: tuple[Tensor, Tensor]) -> None:
    values = []
    for start in (0, 300):
        few = compared(KernelInceptionDistance(subsets=5, subset_size=2), *(x[start : start + 300] for x in both))
        assert "subsets = 5 of subset_size = 2 look at 10 of 300 images at most" in few.remark()
        values.append(few.result()[0])
    many = [
        value(KernelInceptionDistance(subsets=50, subset_size=100), *(x[k : k + 300] for x in both)) for k in (0, 300)
    ]
    assert abs(values[0] - values[1]) > 10 * abs(many[0] - many[1])
    assert compared(KernelInceptionDistance(subsets=50, subset_size=100), *both).remark() is None
    fewer_generated = compared(KernelInceptionDistance(subsets=2, subset_size=40), both[0][:50], both[1][:300])
    assert "look at 80 of 300 images at most" in fewer_generated.remark()


def test_kid_says_where_all_subsets_are_the_same(both: tuple[Tensor, Tensor]) -> None:
    same = compared(KernelInceptionDistance(subsets=3, subset_size=50), *(x[:50] for x in both))
    assert same.result()[1] == pytest.approx(0, abs=1e-12)
    assert "each subset holds all images: the standard deviation over subsets is 0" in same.remark()
    assert compared(KernelInceptionDistance(subsets=1, subset_size=50), *(x[:50] for x in both)).remark() is None
    other_real = compared(KernelInceptionDistance(subsets=6, subset_size=50), both[0][:50], both[1][:300])
    assert other_real.result()[1] > 1e-3
    assert other_real.remark() is None


def test_balls_that_hold_most_images_are_remarked_on() -> None:
    random = torch.Generator().manual_seed(0)
    real, other = torch.randn(20, 4, generator=random), torch.randn(20, 4, generator=random) + 2
    large = compared(Precision(neighbours=19), other, real)
    assert large.result()[0] == 1.0 != value(Precision(neighbours=1), other, real)
    assert "a ball holds neighbours = 19 of 20 images" in large.remark()
    assert compared(Precision(neighbours=2), other, real).remark() is None
    many = torch.randn(200, 4, generator=random)
    for generated, data in ((other, many), (many, real)):
        assert "a ball holds neighbours = 3 of 20 images" in compared(Precision(neighbours=3), generated, data).remark()


@pytest.mark.parametrize(
    ("metric", "expected"), [(Precision(), 1), (Recall(), 1), (Density(neighbours=3), 0), (Coverage(neighbours=3), 0)]
)
def test_balls_without_room_are_remarked_on(metric: Any, expected: float) -> None:
    alike = torch.ones(60, 4)
    found = compared(metric, alike, alike)
    assert found.result()[0] == expected
    assert found.remark() == "60 of 60 balls have a radius of 0: these images have the same features as 3 others"
    random = torch.Generator().manual_seed(0)
    few = torch.cat([torch.zeros(5, 4), torch.randn(55, 4, generator=random)])
    assert compared(metric, few, few).remark() is None
    some = torch.cat([torch.zeros(7, 4), few[7:]])
    assert compared(metric, some, some).remark() == (
        "7 of 60 balls have a radius of 0: these images have the same features as 3 others"
    )


def test_intra_fid_says_which_part_of_the_classes_it_is_of(both: tuple[Tensor, Tensor]) -> None:
    labels = torch.cat([torch.zeros(1), torch.ones(200), torch.full((499,), 2)]).long()
    found = compared(IntraFid(), *both, (labels, labels))
    assert (
        found.remark()
        == "1 of 3 classes are left out: fewer than two generated images of 1, fewer than two real images of 1"
    )
    many, few = torch.arange(700) % 2, torch.arange(40) % 2
    assert "20 images of a class for 32 features" in compared(IntraFid(), both[0], both[1][:40], (many, few)).remark()
    none = compared(IntraFid(), both[0][:3], both[1][:3], (torch.arange(3), torch.arange(3)))
    assert math.isnan(none.result()[0])
    assert none.remark() == (
        "3 of 3 classes are left out, so that there is no value: "
        "fewer than two generated images of 3, fewer than two real images of 3"
    )


def test_intra_fid_knows_of_classes_that_are_not_drawn(both: tuple[Tensor, Tensor]) -> None:
    """Generated images are of the first two of ten classes, or each of another: the last have only real ones."""
    first, ten = torch.arange(700) % 2, torch.arange(700) % 10
    found = compared(IntraFid(), *both, (first, ten))
    assert found.remark() == "8 of 10 classes are left out: fewer than two generated images of 8"
    expected = value(FrechetInceptionDistance(), both[0][first == 0], both[1][ten == 0])
    assert found.per_class()[0] == pytest.approx(expected, rel=1e-6)
    assert [math.isnan(distance) for distance in found.per_class()] == [False] * 2 + [True] * 8
    few = compared(IntraFid(), both[0][:100], both[1], (torch.arange(100), torch.arange(700) % 300))
    assert few.remark() == (
        "300 of 300 classes are left out, so that there is no value: fewer than two generated images of 300"
    )


def test_intra_fid_says_of_no_class_that_is_left_out_that_its_covariance_is_singular(
    both: tuple[Tensor, Tensor],
) -> None:
    five, one = ((torch.arange(700) >= count).long() for count in (5, 1))
    assert "5 images of a class for 32 features" in compared(IntraFid(), *both, (five, five)).remark()
    found = compared(IntraFid(), *both, (five, one))
    assert found.remark() == "1 of 2 classes are left out: fewer than two real images of 1"
    of_the_other = value(FrechetInceptionDistance(), both[0][5:], both[1][1:])
    assert found.result()[0] == pytest.approx(of_the_other, rel=1e-6)
    assert math.isnan(found.per_class()[0])


@pytest.mark.parametrize(("count", "singular"), [(2, True), (32, True), (33, False)])
def test_the_covariance_of_a_class_is_singular_up_to_as_many_images_as_there_are_features(
    both: tuple[Tensor, Tensor], count: int, singular: bool
) -> None:
    labels = (torch.arange(700) >= count).long()
    said = f"{count} images of a class for 32 features: covariances are singular, and the distance too high"
    assert compared(IntraFid(), *both, (labels, labels)).remark() == (said if singular else None)


def test_the_same_images_are_at_no_distance(both: tuple[Tensor, Tensor]) -> None:
    _, real = both
    assert value(FrechetInceptionDistance(), real, real) == pytest.approx(0, abs=1e-6)
    assert value(Precision(), real, real) == value(Recall(), real, real) == value(Coverage(), real, real) == 1
    kid = KernelInceptionDistance(subsets=100, subset_size=300)
    assert abs(value(kid, real, real)) < 0.01 * value(kid, real + 5, real)


def test_constant_images_are_told_from_the_data(both: tuple[Tensor, Tensor]) -> None:
    _, real = both
    constant = real[:1].expand(700, 32).contiguous()
    assert value(FrechetInceptionDistance(), constant, real) > 100
    assert value(Precision(), constant, real) == 1
    assert value(Recall(), constant, real) == pytest.approx(1 / 700)
    assert value(Coverage(), constant, real) < 0.05


def test_balls_by_hand() -> None:
    """Real images at 0, 1, 3 and 7 on a line: by one neighbour their balls have radii 1, 1, 2 and 4."""
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    generated = torch.tensor([[0.5], [2.0], [3.5], [20.0]])
    assert neighbours.radii(real, 1).tolist() == [1, 1, 2, 4]
    # 0.5 is in the balls of 0 and 1; 2 at the edge of 1's and in 3's; 3.5 in those of 3 and 7; 20 in none.
    assert value(Precision(neighbours=1), generated, real) == 3 / 4
    assert value(Density(neighbours=1), generated, real) == (2 + 1 + 2 + 0) / 4
    # The nearest generated images are at 0.5, 0.5, 0.5 and 3.5 of the real ones.
    assert value(Coverage(neighbours=1), generated, real) == 1
    assert value(Coverage(neighbours=1), generated[3:].expand(4, 1), real) == 0
    # Radii about the generated images are 1.5, 1.5, 1.5 and 16.5: all real ones are within some.
    assert value(Recall(neighbours=1), generated, real) == 1
    assert value(Recall(neighbours=1), torch.tensor([[0.0], [0.5], [1.0], [1.5]]), real) == 2 / 4


def test_balls_of_real_images_are_measured_once(both: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    generated, real = (Features(pooled, pooled[:, :1]) for pooled in both)
    measured, radii = [], neighbours.radii
    monkeypatch.setattr(neighbours, "radii", lambda x, k: measured.append((x is real.pooled, k)) or radii(x, k))
    metrics = [Precision(), Recall(), Density(), Coverage()]
    references = [metric.reference(700) for metric in metrics]
    for reference in references:
        reference.add(real)
    statistics = [reference.result() for reference in references]
    assert measured == [(True, 3), (True, 5)]
    for _ in range(2):
        for metric, made in zip(metrics, statistics, strict=True):
            accumulator = metric.accumulator(700)
            accumulator.add(generated)
            accumulator.against(made)
            accumulator.result()
    assert measured[2:] == [(False, 3)] * 2  # recall's are about the generated images


def exact(generated: Tensor, real: Tensor) -> dict[Any, float]:
    """What the metrics of neighbours are by their papers' equations, on distances of differences in float64."""
    gr, rr, gg = (
        (a.double()[:, None] - b.double()).norm(dim=2)
        for a, b in ((generated, real), (real, real), (generated, generated))
    )
    radius = {k: rr.sort(1).values[:, k] for k in (3, 5)}
    generated_radius = gg.sort(1).values[:, 3]
    return {
        Precision(): (gr <= radius[3]).any(1).double().mean().item(),
        Recall(): (generated_radius >= gr.T).any(1).double().mean().item(),
        Density(): (gr < radius[5]).sum().item() / (5 * len(generated)),
        Coverage(): (gr.min(0).values < radius[5]).double().mean().item(),
    }


def test_neighbours_are_exact_far_from_zero() -> None:
    """Features at 1000 with a spread of 1, also where the first of them is far from all others."""
    random = torch.Generator().manual_seed(0)
    generated, real = (torch.randn(300, 64, generator=random) * spread + 1000 for spread in (0.98, 1.0))
    for _ in range(2):
        for metric, expected in exact(generated, real).items():
            assert 0.2 < expected < 1.5
            assert value(metric, generated, real) == pytest.approx(expected, abs=1e-6), metric
        generated[0], real[0] = 500, 2000


def test_a_neighbour_at_the_edge_of_a_ball_is_not_told_by_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers, many of whose distances are equal, and copies of real images, which are as far as those are."""
    monkeypatch.setattr(neighbours, "_BLOCK", 239)  # of the 240 images one is left over
    random = torch.Generator().manual_seed(0)
    whole = [torch.randint(0, many, (200, 5), generator=random).float() for many in (4, 3)]
    real = torch.randn(240, 256, generator=random).relu()
    for generated, data in (whole, (real[:120], real), (real[:80].repeat_interleave(3, 0), real), (real, real)):
        for metric, expected in exact(generated, data).items():
            assert value(metric, generated, data) == pytest.approx(expected, abs=1e-12), metric


def test_neighbours_do_not_depend_on_the_blocks(both: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = (Precision(), Recall(), Density(), Coverage())
    whole = [value(metric, *both) for metric in metrics]
    monkeypatch.setattr(neighbours, "_BLOCK", 64)
    assert [value(metric, *both) for metric in metrics] == pytest.approx(whole, abs=2e-3)


def test_near_neighbours_are_told_apart_in_far_groups() -> None:
    random = torch.Generator().manual_seed(0)
    places = torch.randn(2, 32, generator=random).repeat(50, 1) * 1000
    x, y = (places + 0.01 * torch.randn(100, 32, generator=random) for _ in range(2))
    expected = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist").float()
    found = torch.cat(list(neighbours.blocks(x, y)))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("spread", [1e-5, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_clusters_are_measured_as_finely_as_their_features_are(spread: float, scale: float) -> None:
    random = torch.Generator().manual_seed(1)
    centres = torch.randn(10, 64, generator=random).repeat(30, 1)
    generated, real = ((centres + spread * torch.randn(300, 64, generator=random)) * scale for _ in range(2))
    for metric, expected in exact(generated, real).items():
        assert value(metric, generated, real) == pytest.approx(expected, abs=1e-9), metric


def test_copies_lie_at_no_distance() -> None:
    copies = torch.randn(60, 300, generator=torch.Generator().manual_seed(2)).mul(1e3).repeat(6, 1)
    assert neighbours.radii(copies, 5).tolist() == [0.0] * 360
    assert (neighbours.radii(copies, 6) > 0).all()


ALL = (
    FrechetInceptionDistance(), KernelInceptionDistance(subsets=10, subset_size=100), Precision(), Recall(), Density(),
    Coverage(), IntraFid(), Diversity(),
)  # fmt: skip


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
@pytest.mark.parametrize("cached", [False, True])
def test_no_metric_has_tensors_of_two_devices_meet(metric: Any, cached: bool) -> None:
    """Up to where the host reads a value: features of real images may be on the CPU, where others read them."""

    def scored() -> None:
        with absent_gpu():
            generated, real = torch.randn(200, 8, device=GPU), torch.randn(200, 8, device="cpu" if cached else GPU)
            labels = torch.arange(200) % 2
            compared(metric, generated, real, (labels, labels)).result()

    with pytest.raises(UncheckedError, match="the host reads a tensor's value"):
        scored()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)
def test_a_gpu_gives_the_same(metric: Any, both: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)  # as extractors may want it
    labels = torch.arange(700) % 2
    for generated, real in (both, (both[1], both[1])):
        here = compared(metric, generated, real, (labels, labels)).result()
        there = compared(metric, generated.cuda(), real.cuda(), (labels.cuda(), labels.cuda())).result()
        assert there == pytest.approx(here, rel=1e-6, abs=1e-6)


def test_intra_fid_sees_swapped_classes(both: tuple[Tensor, Tensor]) -> None:
    _, real = both
    labels = torch.arange(700) % 2
    real = real + labels[:, None] * 5
    right = compared(IntraFid(), real, real, (labels, labels))
    swapped = compared(IntraFid(), real, real, (1 - labels, labels))
    assert right.result()[0] == pytest.approx(0, abs=1e-6)
    assert swapped.result()[0] > 500
    assert value(FrechetInceptionDistance(), real, real) == pytest.approx(0, abs=1e-6)
    first, second = right.per_class()
    assert max(first, second) < 1e-6


def test_intra_fid_is_the_fid_of_each_class(both: tuple[Tensor, Tensor]) -> None:
    generated, real = both
    labels = (torch.arange(700) >= 400).long()
    found = compared(IntraFid(), generated, real, (labels, labels))
    expected = [value(FrechetInceptionDistance(), generated[labels == k], real[labels == k]) for k in (0, 1)]
    assert found.per_class() == pytest.approx(expected, rel=1e-6)
    assert found.result()[0] == pytest.approx(sum(expected) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "images", "message"),
    [
        (FrechetInceptionDistance(), 1, "two images at least, not 1"),
        (KernelInceptionDistance(), 999, "needs at least as many generated images, not 999"),
        (Precision(), 3, r"Precision with neighbours = 3 needs more generated images than 3"),
        (Coverage(), 5, r"--set metrics.coverage.neighbours"),
    ],
)
def test_too_few_images_are_refused(metric: Any, images: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        metric.accumulator(images)


def test_too_few_real_images_are_refused() -> None:
    with pytest.raises(UsageError, match="two images at least, not 1"):
        IntraFid().reference(1)
    with pytest.raises(UsageError, match="Precision with neighbours = 3 needs more real images than 3"):
        Precision().reference(3)


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        (InceptionScore, True), (FrechetInceptionDistance, False), (KernelInceptionDistance, False), (Precision, True),
        (Recall, True), (Density, True), (Coverage, True), (Accuracy, True), (IntraFid, False), (Diversity, True),
    ],
)  # fmt: skip
def test_distances_are_better_where_they_are_less_and_all_else_where_it_is_greater(metric: Any, higher: bool) -> None:
    assert metric.higher_is_better is higher


@pytest.mark.parametrize(
    ("metric", "setting", "least"),
    [
        (KernelInceptionDistance, "subsets", 1), (KernelInceptionDistance, "subset_size", 2),
        (InceptionScore, "splits", 1), (Precision, "neighbours", 1), (Recall, "neighbours", 1),
        (Density, "neighbours", 1), (Coverage, "neighbours", 1),
    ],
)  # fmt: skip
def test_settings_below_what_can_be_measured_are_refused(metric: Any, setting: str, least: int) -> None:
    """One image has no distance to others, and its own is 0."""
    metric(**{setting: least})
    with pytest.raises(ValidationError, match=f"greater than or equal to {least}"):
        metric(**{setting: least - 1})
