"""What scores look at: real images, generated ones, and an extractor at work."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sngan_cli.catalog import Catalog, Entry
from sngan_cli.composition import compose
from sngan_cli.config import Layer, recipe
from sngan_cli.contracts import Extractor, Features, Metric
from sngan_cli.engine import evaluation, features, sampling
from sngan_cli.engine.evaluation import Drawing, References, _evenly, _protocol
from sngan_cli.engine.extraction import Extraction
from sngan_cli.engine.trial import try_metrics
from sngan_cli.errors import ComponentError

CPU = torch.device("cpu")


class Plain(nn.Module):
    """Draws every latent as a picture of one colour."""

    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        return (z * self.weight).view(-1, 3, 1, 1).expand(-1, 3, 2, 2) / 8


class Linear:
    """Features by a matrix product, in whatever arithmetic is asked for."""

    weights_sha256 = "cd" * 32
    side = 4

    def __init__(self) -> None:
        self._weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))

    def __call__(self, images: Tensor) -> Features:
        found = (images.float() / 255).mean((2, 3)) @ self._weight
        return Features(found, found)


def scored(drawing: Drawing, extraction: Extraction, frequencies: list[float] | None) -> Any:
    from sngan_plugins.metrics.inception_score import InceptionScore

    names = None if frequencies is None else [str(k) for k in range(len(frequencies))]
    (found,) = evaluation.score(
        evaluation.generated(Plain(), 250, frequencies, drawing),
        {"is": InceptionScore(splits=2)},
        extraction,
        step=0,
        samples=250,
        class_names=names,
        real=References(),
        settings=drawing.settings(conditional=names is not None),
        evidence=drawing.evidence(conditional=names is not None),
        progress=lambda _: True,
    )
    return found


class OfReal(Metric, contract=1):
    """Looks at real images alone."""

    def accumulator(self, images: int) -> Any:
        raise NotImplementedError

    def protocol(self) -> dict[str, int]:
        return {}


def labels_of(drawing: Drawing, frequencies: list[float]) -> list[int]:
    drawn = evaluation.generated(Plain(), 2000, frequencies, drawing)
    return torch.cat([y for _, y in drawn if y is not None]).tolist()


def test_real_images_are_taken_evenly_from_the_classes() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [2] * 3)
    chosen = _evenly(labels, 12)
    assert np.bincount(labels[chosen]).tolist() == [5, 4, 3]
    assert len(set(chosen.tolist())) == 12
    assert not {0, 1, 2, 3, 4} <= {*chosen.tolist()}  # of each class they are taken at random
    assert chosen.tolist() == _evenly(labels, 12).tolist()
    assert sorted(_evenly(labels, 1000).tolist()) == list(range(58))
    assert sorted(labels[chosen[:3]].tolist()) == [0, 1, 2]


def test_which_pictures_are_taken_and_when_does_not_depend_on_their_labels() -> None:
    """Nor are those of the largest class left for the last split of an Inception Score."""
    labels = np.array([0] * 600 + [1] * 200 + [2] * 200)
    images = np.arange(1000, dtype=np.uint16).view(np.uint8).reshape(1000, 1, 1, 2).repeat(2, axis=2)[..., :3]

    def taken(given: np.ndarray | None) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        return list(evaluation.pictures(images, given, 900))

    known, unknown = taken(labels), taken(None)
    pixels = torch.cat([batch for batch, _ in known])
    assert torch.equal(pixels, torch.cat([batch for batch, _ in unknown]))
    assert len({tuple(picture.flatten().tolist()) for picture in pixels}) == 900
    assert {y for _, y in unknown} == {None}
    own = torch.cat([y for _, y in known if y is not None])
    for part in own.split(90):
        assert 0.4 < (part == 0).double().mean() < 0.8


def test_labels_are_drawn_evenly_or_as_often_as_in_the_data() -> None:
    frequencies = [0.7, 0.0, 0.3]
    assert np.bincount(labels_of(Drawing(), frequencies)).tolist() == [667, 667, 666]
    drawn = labels_of(Drawing(labels="data"), frequencies)
    counts = np.bincount(drawn, minlength=3)
    assert counts[1] == 0
    assert counts[0] / 2000 == pytest.approx(0.7, abs=0.04)  # four standard deviations of the mean
    assert drawn == labels_of(Drawing(labels="data"), frequencies)
    assert drawn != labels_of(Drawing(labels="data", seed=1), frequencies)
    assert sorted(drawn) != drawn


def test_splits_of_images_that_are_drawn_evenly_are_no_more_alike_than_those_of_shuffled_pictures() -> None:
    drawn = torch.tensor(labels_of(Drawing(), [0.1] * 10))
    assert torch.bincount(drawn).tolist() == [200] * 10
    in_splits = torch.stack([torch.bincount(part, minlength=10) for part in drawn.split(200)]).double()
    assert in_splits.var().item() == pytest.approx(200 * 0.1 * 0.9 * (1 - 200 / 2000), rel=0.5)  # hypergeometric
    assert drawn.tolist() == labels_of(Drawing(), [0.1] * 10)
    assert drawn.tolist() != labels_of(Drawing(seed=1), [0.1] * 10)


@pytest.mark.parametrize("seed", [0, 1])
def test_latents_of_scores_follow_the_seed_and_are_no_others(seed: int) -> None:
    ((drawn, _),) = evaluation.generated(Plain(), 20, None, Drawing(seed=seed))

    def of(seed: int, purpose: str) -> Tensor:
        return sampling.images(Plain(), sampling.latents(Plain(), 20, seed, purpose), None, seed=0)

    assert torch.equal(drawn, of(seed, "scores"))
    assert not torch.equal(drawn, of(1 - seed, "scores"))
    assert not torch.equal(drawn, of(seed, "samples"))


def test_drawing_leaves_random_states_and_other_devices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noisy(Plain):
        def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
            return super().forward(z, y) + torch.rand(len(z), 1, 1, 1)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)  # asking either for its state would fail here
    before = torch.get_rng_state()
    drawn = [images for images, _ in evaluation.generated(Noisy(), 120, None, Drawing())]
    assert [len(images) for images in drawn] == [100, 20]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    again = [images for images, _ in evaluation.generated(Noisy(), 120, None, Drawing())]
    assert all(torch.equal(one, other) for one, other in zip(drawn, again, strict=True))


def test_noise_is_another_in_every_batch() -> None:
    class Noise(Plain):
        def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
            return (2 * torch.rand(len(z), 3, 2, 2) - 1) * self.weight

    images = torch.cat([images for images, _ in evaluation.generated(Noise(), 300, None, Drawing())]).float()
    assert (images[:100] - images[100:200]).abs().mean() == pytest.approx(255 / 3, rel=0.1)
    assert (images[100:200] - images[200:]).abs().mean() == pytest.approx(255 / 3, rel=0.1)


EVEN, UNEVEN = np.array([0, 1] * 20), np.array([0] * 30 + [1] * 10)


@pytest.mark.parametrize(
    ("labels", "conditional", "evenly", "count", "of_one", "how"),
    [
        (EVEN, True, True, 12, 6, "as in the data"),
        (EVEN, False, True, 12, 6, "as in the data"),
        (UNEVEN, True, True, 12, 6, "evenly"),
        (UNEVEN, True, False, 12, None, "as in the data"),
        (UNEVEN, False, True, 12, None, "as in the data"),
        (UNEVEN, True, True, 99, 10, "all"),
    ],
)
def test_how_real_images_are_chosen_is_part_of_the_protocol_where_it_matters(
    labels: np.ndarray, conditional: bool, evenly: bool, count: int, of_one: int | None, how: str
) -> None:
    from sngan_plugins.metrics.fid import FrechetInceptionDistance

    taken: list[np.ndarray] = []

    def features_of(chosen: np.ndarray) -> Any:
        taken.append(chosen)
        yield Linear()(torch.zeros(len(chosen), 3, 4, 4))

    metrics = {"fid": FrechetInceptionDistance()}
    real = evaluation.references(
        metrics, features_of, labels, "ab" * 32, conditional=conditional, count=count, evenly=evenly
    )
    assert real.chosen == how
    assert of_one in (None, (labels[taken[0]] == 1).sum())
    (found,) = evaluation.score(
        evaluation.generated(Plain(), 50, None, Drawing()), metrics, Extraction(Linear(), "linear", CPU), step=0,
        samples=50, class_names=None, real=real, settings={}, evidence={}, progress=lambda _: True,
    )  # fmt: skip
    assert found.evidence["real_chosen"] == how
    assert (found.evidence["real"], found.evidence["data_images"]) == (min(count, 40), 40)
    assert not found.higher_is_better
    assert found.protocol.endswith(f"real={real.images}@abababab" + ("/evenly" if how == "evenly" else ""))


@pytest.mark.parametrize(("conditional", "evenly"), [(True, True), (True, False), (False, False)])
def test_real_images_are_chosen_at_random_and_shown_with_their_own_labels(conditional: bool, evenly: bool) -> None:
    class Recording(OfReal, contract=1):
        def reference(self, images: int) -> Any:
            class Seen:
                def __init__(self) -> None:
                    self.pooled, self.labels = list[Tensor](), list[Tensor | None]()

                def add(self, features: Features) -> None:
                    self.pooled.append(features.pooled[:, 0])
                    self.labels.append(features.labels)

                def result(self) -> dict[str, Tensor]:
                    labels = torch.cat([y for y in self.labels if y is not None]) if conditional else torch.ones(0)
                    return {"chosen": torch.cat(self.pooled).long(), "labels": labels}

            return Seen()

    labels = np.random.default_rng(3).permutation([0] * 190 + [1] * 60)
    numbers = np.arange(250, dtype=np.uint8).reshape(250, 1, 1, 1).repeat(3, axis=3)

    def features_of(chosen: np.ndarray) -> Any:
        for _, batch in features.batches(numbers, chosen):
            found = batch[:, :1, 0, 0].float()
            yield Features(found, found)

    real = evaluation.references(
        {"recording": Recording()}, features_of, labels, "ab" * 32, conditional=conditional, count=220, evenly=evenly
    )
    seen = real.statistics["recording"]
    chosen = seen["chosen"].tolist()
    assert len({*chosen}) == real.images == 220
    assert seen["labels"].tolist() == (labels[chosen].tolist() if conditional else [])
    assert chosen[:100] != sorted(chosen[:100])
    assert {*chosen} != {*range(220)}


def test_features_are_kept_by_what_they_depend_on(tmp_path: Path) -> None:
    class Weighted(Linear):
        def __init__(self, weights_sha256: str) -> None:
            super().__init__()
            self.weights_sha256 = weights_sha256

    class Scaled(Extractor, contract=1):
        gain: float = 1.0
        weights: Path | None = None

        def load(self, device: str, cache: Path) -> Any:
            return Linear()

    composition = compose(
        [recipe("paper"), Layer("test", {"dataset": "shapes", "arch": "standard"})], Catalog.installed()
    )

    class Copied(Scaled, contract=1):
        pass

    entry = composition.entries["extractor"]

    def extraction(
        made: type[Scaled] = Scaled, /, *, entry: Entry = entry, sha256: str = "cd" * 32, **options: Any
    ) -> Extraction:
        entries = {**composition.entries, "extractor": entry}
        return Extraction.of(
            replace(composition, extractor=made(**options), entries=entries), Weighted(sha256), CPU, "fp32"
        )

    usual, other, elsewhere = extraction(), extraction(gain=2.5), extraction(weights=tmp_path)
    assert usual.identity == elsewhere.identity
    others = [
        other,
        extraction(sha256="ef" * 32),
        extraction(Copied),
        extraction(entry=replace(entry, version="0.0.9")),
        extraction(entry=replace(entry, distribution="another")),
    ]
    assert len({usual.identity, *(each.identity for each in others)}) == 6
    assert (usual.label, other.label) == ("shapes-cnn@cdcdcdcd", "shapes-cnn[gain=2.5]@cdcdcdcd")
    assert elsewhere.label == usual.label


def test_a_protocol_is_a_line_of_words() -> None:
    made = _protocol("linear@abababab", 20, {"kernel": "rbf of\nwidth 2", "alpha": 0.5})
    assert made != _protocol("linear@abababab", 20, {"kernel": "rbf_of_width_2", "alpha": 0.5})
    assert made == "linear@abababab n=20 alpha=0.5 kernel=rbf%20of%0Awidth%202"


def test_what_is_unusual_makes_a_protocol_of_its_own() -> None:
    usual = scored(Drawing(), Extraction(Linear(), "linear", CPU), None)
    assert usual.protocol == "linear@cdcdcdcd n=250 splits=2"
    assert (usual.evidence["labels"], usual.evidence["truncation"], usual.evidence["precision"]) == (
        "none",
        "none",
        "fp32",
    )
    assert (usual.evidence["sngan"], usual.evidence["torch"]) == (version("sngan"), torch.__version__)
    assert usual.higher_is_better
    assert scored(Drawing(labels="data"), Extraction(Linear(), "linear", CPU), None).protocol == usual.protocol
    other = scored(
        Drawing(labels="data", truncation=0.5, standing=True), Extraction(Linear(), "linear", CPU, "bf16"), [0.5, 0.5]
    )
    assert other.protocol == "linear@cdcdcdcd n=250 labels=data precision=bf16 splits=2 truncation=0.5"
    assert other.evidence["labels"] == "data"
    assert other.evidence["truncation"] == 0.5
    assert other.evidence["generator_weights"] == "raw, standing statistics"


def test_a_score_names_the_protocol_that_it_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    from sngan_cli.config import protocols
    from sngan_cli.config.protocols import ScoringProtocol, name_of
    from sngan_plugins.metrics.fid import FrechetInceptionDistance
    from sngan_plugins.metrics.inception_score import InceptionScore

    tables = {
        "first": ScoringProtocol("first", 250, 0, {"is": {"splits": 2}}),
        "second": ScoringProtocol("second", 250, 90, {"is": {"splits": 2}}),
    }
    monkeypatch.setattr(protocols, "protocols", lambda: tables)
    assert scored(Drawing(), Extraction(Linear(), "linear", CPU), None).evidence["protocol name"] == "first"
    unusual = scored(Drawing(truncation=1.0), Extraction(Linear(), "linear", CPU), None)
    assert "protocol name" not in unusual.evidence
    halves, tenths, fid = InceptionScore(splits=2), InceptionScore(), FrechetInceptionDistance()
    assert name_of("is", halves, 250, None, whole=False, preferred="second") == "second"
    assert name_of("is", tenths, 250, None, whole=False) is None
    assert name_of("is", halves, 249, None, whole=False) is None
    assert name_of("fid", fid, 250, 90, whole=False, preferred="first") == "second"
    assert name_of("fid", fid, 250, 1000, whole=True) == "first"
    assert name_of("fid", fid, 250, 1000, whole=False) is None


def test_of_several_protocols_that_a_score_follows_the_one_that_was_asked_for_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sngan_cli.config import protocols
    from sngan_cli.config.protocols import ScoringProtocol
    from sngan_plugins.metrics.fid import FrechetInceptionDistance

    tables = {name: ScoringProtocol(name, 50, real, {}) for name, real in (("few", 30), ("first", 0), ("second", 0))}
    monkeypatch.setattr(protocols, "protocols", lambda: tables)
    metrics, images = {"fid": FrechetInceptionDistance()}, torch.zeros(40, 3, 4, 4, dtype=torch.uint8)

    def named(count: int, preferred: str | None) -> object:
        real = evaluation.references(
            metrics, lambda chosen: iter([Linear()(images[chosen])]), EVEN, "ab" * 32, conditional=False, count=count
        )
        (found,) = evaluation.score(
            evaluation.generated(Plain(), 50, None, Drawing()), metrics, Extraction(Linear(), "linear", CPU), step=0,
            samples=50, class_names=None, real=real, settings={}, evidence={}, progress=lambda _: True,
            protocol=preferred,
        )  # fmt: skip
        return found.evidence.get("protocol name")

    assert (named(40, None), named(40, "second"), named(40, "few")) == ("first", "second", "first")
    assert (named(30, "second"), named(29, "second")) == ("few", None)


class Nearest(Metric, contract=1):
    """Cannot be made without `k`."""

    k: int
    power: int = 2

    def accumulator(self, images: int) -> Any:
        raise NotImplementedError

    def protocol(self) -> dict[str, int]:
        return {"k": self.k, "power": self.power}


def test_an_option_without_a_default_is_of_any_protocol_that_does_not_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from sngan_cli.config import protocols
    from sngan_cli.config.protocols import ScoringProtocol, name_of

    plain, of_five = (ScoringProtocol("plain", 10, 0, {}), ScoringProtocol("5", 10, 0, {"nearest": {"k": 5}}))
    monkeypatch.setattr(protocols, "protocols", lambda: {"plain": plain})
    assert name_of("nearest", Nearest(k=3), 10, None, whole=True) == "plain"
    assert name_of("nearest", Nearest(k=3, power=1), 10, None, whole=True) is None
    monkeypatch.setattr(protocols, "protocols", lambda: {"5": of_five})
    assert name_of("nearest", Nearest(k=5), 10, None, whole=True) == "5"
    assert name_of("nearest", Nearest(k=3), 10, None, whole=True) is None


def test_in_bf16_the_difference_is_measured() -> None:
    extraction = Extraction(Linear(), "linear", CPU, "bf16")
    images = torch.randint(0, 256, (50, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found, exact = extraction(images).pooled, Linear()(images).pooled
    assert found.dtype == torch.float32
    expected = ((found - exact).norm() / exact.norm()).item()
    assert 1e-4 < expected < 2e-2
    assert extraction.evidence()["difference of features from fp32"] == pytest.approx(expected)
    assert extraction.identity != Extraction(Linear(), "linear", CPU).identity
    nothing = Extraction(Linear(), "linear", CPU, "bf16")
    nothing(images, compare=False)  # as of real images, whose features may be kept
    assert nothing.difference is None
    nothing(torch.zeros_like(images))
    assert nothing.difference == 0
    assert "difference of features from fp32" not in Extraction(Linear(), "linear", CPU).evidence()


@pytest.mark.parametrize(
    ("accuracy", "chance", "said"),
    [
        (0.1, 0.1, ["the extractor names the class of 10.0% of its held-out pictures, no more than by chance: the "
                    "value means little"]),
        (0.11, 0.1, []),
        (0.1, None, []),
    ],
)  # fmt: skip
def test_an_extractor_no_better_than_chance_is_remarked_on(
    accuracy: float, chance: float | None, said: list[str]
) -> None:
    assert [*Extraction(Linear(), "linear", CPU, accuracy=accuracy, chance=chance).remarks(["a", "b"])] == said


def test_resizing_is_said() -> None:
    extraction = Extraction(Linear(), "linear", CPU)
    extraction(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    assert "resized" not in extraction.evidence()
    extraction(torch.zeros(1, 3, 9, 9, dtype=torch.uint8))
    assert extraction.evidence()["resized"] == "9 px to 4 px"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "'odd' gives NoneType, not Features: tell its author."),
        (
            Features(torch.ones(3, 4, 1), torch.ones(3, 2)),
            "pooled features of shape (3, 4, 1) and logits of shape (3, 2)",
        ),
        (Features(torch.ones(2, 4), torch.ones(3, 2)), "of shape (2, 4) and logits of shape (3, 2) for 3 images"),
        (Features(cast("Any", np.ones((3, 4))), torch.ones(3, 2)), "pooled features of shape ndarray"),
        (Features(torch.ones(3, 0), torch.ones(3, 2)), "no pooled features, but a tensor of shape (3, 0)"),
        (Features(torch.tensor([[1.0], [math.nan], [1.0]]), torch.ones(3, 2)), "NaN or infinite for 1 of 3 images"),
        (Features(torch.ones(3, 4), torch.full((3, 2), math.inf)), "NaN or infinite for 3 of 3 images"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_an_extractor_gives_that_is_no_features_is_refused(
    given: object, said: str, precision: Literal["fp32", "bf16"]
) -> None:
    odd = Extraction(cast("Any", lambda images: given), "odd", CPU, precision)
    with pytest.raises(ComponentError, match=re.escape(said)):
        odd(torch.zeros(3, 3, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize(
    "given", [None, 1.0, (1.0,), (1.0, 2.0, 3.0), ("1", None), (torch.ones(()), None), (1.0, "2"), (1.0, -0.5)]
)
def test_a_result_that_is_no_number_is_said_to_be_the_metrics(given: object) -> None:
    with pytest.raises(ComponentError, match=r"^The metric 'odd' gives .*, not a number and its standard deviation"):
        evaluation._checked("odd", given)


def test_numbers_of_any_library_are_results() -> None:
    assert evaluation._checked("mine", (np.float32(1.5), None)) == (1.5, None)
    assert evaluation._checked("mine", (2, np.float64(0.5))) == (2.0, 0.5)


RESERVED = ("n", "images", "real", "classes", "side", "precision", "labels", "truncation", "seed")


class Odd(Metric, contract=1):
    """A metric of somebody else's, which does `what` it should not."""

    what: str

    def accumulator(self, images: int) -> Any:
        what = self.what

        class Doing:
            def add(self, features: Features) -> None:
                self.kept = features.pooled
                if what in ("pooled", "logits"):
                    getattr(features, what).mul_(2)
                if what == "fail":
                    raise ArithmeticError("no such thing")
                if what == "exit":
                    raise SystemExit("no licence")

            def result(self) -> tuple[float, None]:
                if what == "kept":
                    self.kept.mul_(2)
                return 1.0, None

            def per_class(self) -> Any:
                return {"array": np.float32([0.5, np.nan]), "tensors": torch.ones(2)}.get(what, [1.0, 2.0])

        return Doing()

    def protocol(self) -> Any:
        return {
            "tensor setting": {"k": torch.ones(())},
            "numbers": {"a": np.float32(0.5), "b": np.int64(3), "c": True, "d": "x\ny"},
        }.get(self.what, {key: 5 for key in [self.what] if key in RESERVED})


def by_odd(what: str) -> tuple[dict[str, Any], dict[str, BaseException]]:
    from sngan_plugins.metrics.inception_score import InceptionScore

    drawing, failed = Drawing("raw", "even", None, False, 0), dict[str, BaseException]()
    found = evaluation.score(
        evaluation.generated(Plain(), 250, [0.5, 0.5], drawing),
        {"odd": Odd(what=what), "is": InceptionScore(splits=2)},
        Extraction(Linear(), "linear", CPU),
        step=0,
        samples=250,
        class_names=["a", "b"],
        real=References(),
        settings={},
        evidence={},
        progress=lambda _: True,
        unscored=failed.__setitem__,
    )
    return {score.metric: score for score in found}, failed


@pytest.mark.parametrize("what", ["pooled", "logits", "kept"])
def test_a_metric_that_changes_what_others_see_ends_the_scoring(what: str) -> None:
    with pytest.raises(
        ComponentError, match=r"^The metric 'odd' changes the features that it is shown, by which other"
    ):
        by_odd(what)
    if what != "kept":
        shown = Linear()(torch.ones(2, 3, 4, 4, dtype=torch.uint8))
        with pytest.raises(ComponentError, match=r"^The metric 'odd' changes the features"):
            try_metrics({"odd": Odd(what=what)}, shown, 10)


def test_a_metric_that_changes_features_of_real_images_ends_the_scoring() -> None:
    """Those that others have seen by then may be kept by them."""

    class Scaling(OfReal, contract=1):
        def reference(self, images: int) -> Any:
            class Kept:
                def add(self, features: Features) -> None:
                    self.kept = features.pooled

                def result(self) -> dict[str, Tensor]:
                    return {"scaled": self.kept.mul_(2)}

            return Kept()

    seen = Linear()(torch.ones(40, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ComponentError, match=r"^The metric 'scaling' changes the features that it is shown"):
        evaluation.references(
            {"scaling": Scaling()}, lambda _: iter([seen]), EVEN, "ab" * 32, conditional=False, count=40
        )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("tensor setting", "'k' of the"),
        *((key, f"calls a setting '{key}', as sngan calls its own") for key in RESERVED),
    ],
)
def test_a_protocol_that_cannot_be_written_is_found_out_before_there_is_a_score(what: str, said: str) -> None:
    shown = Linear()(torch.ones(2, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ComponentError, match=said):
        try_metrics({"odd": Odd(what=what)}, shown, 10)


def test_features_made_in_inference_mode_are_shown_too() -> None:
    with torch.inference_mode():
        shown = Linear()(torch.ones(2, 3, 4, 4, dtype=torch.uint8))
    try_metrics({"odd": Odd(what="nothing")}, shown, 10)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("fail", "no such thing"),
        ("exit", "no licence"),
        ("tensors", "The metric 'odd' gives tensor(1.) for 'a', no number. Tell its author."),
        ("tensor setting", "The setting 'k' of the metric 'odd' is tensor(1.), no number or text. Tell its author."),
        ("real", "The metric 'odd' calls a setting 'real', as sngan calls its own. Tell its author."),
    ],
)
def test_what_cannot_be_recorded_costs_other_metrics_nothing(what: str, said: str) -> None:
    found, failed = by_odd(what)
    assert found.keys() == {"is"}
    assert {name: str(error) for name, error in failed.items()} == {"odd": said}


def test_what_is_recorded_is_of_pythons_own_types() -> None:
    assert json.dumps(by_odd("array")[0]["odd"].evidence["classes"]) == '{"a": 0.5}'
    odd = by_odd("numbers")[0]["odd"]
    assert odd.protocol == r"linear@cdcdcdcd n=250 a=0.5 b=3 c=True d=x\ny"
    assert json.dumps({key: odd.evidence[key] for key in "abcd"}) == r'{"a": 0.5, "b": 3, "c": true, "d": "x\\ny"}'


def test_an_extractor_that_gives_more_features_than_before_is_refused() -> None:
    given = [Features(torch.ones(2, 4), torch.ones(2, 3)), Features(torch.ones(2, 5), torch.ones(2, 3))]
    odd = Extraction(cast("Any", lambda images: given.pop(0)), "odd", CPU)
    odd(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ComponentError, match="'odd' gives 5 pooled features and 3 logits, and gave 4 and 3 for images"):
        odd(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))


def test_features_are_in_float32_as_those_that_are_kept_are(tmp_path: Path) -> None:
    wide = Features(torch.full((2, 4), 1e7 + 0.3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float16))
    found = Extraction(cast("Any", lambda images: wide), "wide", CPU)(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    assert (found.pooled.dtype, found.logits.dtype) == (torch.float32, torch.float32)
