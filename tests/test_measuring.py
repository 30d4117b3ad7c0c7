"""Real images that scores are measured against: how many, of which side, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from sngan_cli import paths
from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.config import Layer, recipe
from sngan_cli.config.protocols import ScoringProtocol
from sngan_cli.contracts import Features, Metric
from sngan_cli.measuring import Group, Request, Ruler

SHAPES = {"name": "shapes", "images": 20}


@dataclass
class Audience:
    """Keeps what it is warned of."""

    warned: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        self.warned.append(message)

    def debug(self, message: str) -> None:
        pass

    def decoding(self, done: int, total: int) -> None:
        pass

    def show(self, what: str, done: int, total: int) -> None:
        pass


Measure = Callable[..., tuple[Ruler, list[str]]]


@pytest.fixture
def ruler() -> Iterator[Measure]:
    """Set up a ruler for metrics by a protocol of 10 images against so many `real` ones; returns what it warns of, too.

    Real images are brought to the side that is `asked` for. Other arguments are settings of the composition, which is
    of 20 shapes of 8 pixels, and of the request; one that is None is left out.
    """
    with paths.open_store(create=True) as store:

        def made(
            metrics: Mapping[str, Mapping[str, Any]], real: int, *, asked: int | None = None, **settings: Any
        ) -> tuple[Ruler, list[str]]:
            given = {"dataset": SHAPES, "arch": "standard", "size": 8, "extractor": "shapes-cnn", **settings}
            given = {key: value for key, value in given.items() if value is not None}
            request = Request(
                metrics={name: {} for name in metrics},
                protocol=ScoringProtocol("quick", 10, real, metrics),
                device="cpu",
                labels=given.pop("labels", None),
            )
            audience = Audience()
            composition = compose([recipe("paper"), Layer("test", given)], Catalog.installed())
            return Ruler.of(composition, request, paths.place(store), audience, size=asked), audience.warned

        yield made


def greys(folder: Path, **counts: int) -> Path:
    """Pictures of 8 pixels in one folder a class, of which those of class `broken` cannot be read."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (8, 8), (k, k, k)).save(folder / name / f"{k}.png")
            if name == "broken":
                (folder / name / f"{k}.png").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize(
    ("real", "images", "how", "warned"),
    [
        (0, 20, "all", []),
        (12, 12, "as in the data", []),
        (20, 20, "all", []),
        (30, 20, "all", ["fid: 20 real images, where quick has 30."]),
    ],
)
def test_as_many_real_images_are_looked_at_as_the_protocol_has_or_all_there_are(
    ruler: Measure, real: int, images: int, how: str, warned: list[str]
) -> None:
    made, told = ruler({"fid": {}}, real)
    (group,) = made.groups
    found = made.real(group, conditional=False, evenly=True)
    assert (found.images, found.data_images, found.chosen) == (images, 20, how)
    assert told == warned
    assert made.real(group, conditional=False, evenly=True) is found


def test_metrics_over_as_many_images_have_each_their_own_number_of_real_ones(ruler: Measure) -> None:
    made, _ = ruler({"fid": {"real": 12}, "precision": {"real": 15}, "recall": {"real": 0}}, 12)
    found = [(group.images, made.real(group, conditional=False, evenly=True).images) for group in made.groups]
    assert sorted(found) == [(10, 12), (10, 15), (10, 20)]


def test_what_has_failed_with_real_images_is_tried_again(ruler: Measure) -> None:
    class Moody(Metric, contract=1):
        """Fails the first time."""

        def reference(self, images: int) -> Any:
            class Counted:
                def add(self, features: Features) -> None:
                    tries.append(len(features.pooled))

                def result(self) -> dict[str, Tensor]:
                    if len(tries) == 1:
                        raise MemoryError("none left")
                    return {"images": torch.ones(1)}

            return Counted()

        def accumulator(self, images: int) -> Any:
            raise NotImplementedError

        def protocol(self) -> dict[str, int]:
            return {}

    tries: list[int] = []
    made, told = ruler({"fid": {}}, 30)
    group = Group(10, 30, {"moody": Moody()})
    failed = made.real(group, conditional=False, evenly=True)
    assert (failed.failed.keys(), failed.statistics, told) == ({"moody"}, {}, [])
    again = made.real(group, conditional=False, evenly=True)
    assert (again.failed, again.statistics.keys(), tries) == ({}, {"moody"}, [20, 20])
    assert told == ["moody: 20 real images, where quick has 30."]


@pytest.mark.parametrize(("asked", "size", "side"), [(16, 8, 16), (16, None, 16), (None, 8, 8), (None, None, 32)])
def test_real_images_have_the_side_that_is_asked_for_or_the_runs_or_their_own(
    ruler: Measure, asked: int | None, size: int | None, side: int
) -> None:
    made, _ = ruler({"fid": {}}, 12, asked=asked, size=size)
    assert made.data.images.shape == (20, side, side, 3)


def test_a_class_whose_pictures_cannot_be_read_is_never_drawn_and_they_are_told_of(
    ruler: Measure, tmp_path: Path
) -> None:
    data = {
        "dataset": {"name": "folder", "max_unreadable": 1},
        "data_dir": str(greys(tmp_path, ape=9, bee=3, broken=1)),
    }
    made, told = ruler({"fid": {}}, 12, labels="data", **data)
    names = made.data.class_names
    assert names == ("ape", "bee", "broken")
    assert made.frequencies(names) == [0.75, 0.25, 0]
    assert made.frequencies(None) is None
    (said,) = told
    assert said.startswith("Skipped 1 of 13 pictures, such as broken/0.png: ")
