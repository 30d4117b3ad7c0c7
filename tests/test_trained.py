"""A trained generator's classes, by name and number."""

from __future__ import annotations

import pytest
from torch import nn

from sngan_cli.errors import UsageError
from sngan_cli.trained import TrainedGenerator


def of_classes(*names: str) -> TrainedGenerator:
    return TrainedGenerator(nn.Identity(), 0, names, "raw", "")


@pytest.mark.parametrize(
    ("names", "wanted", "path"),
    [
        (("a", "b", "c"), "c", (2, 2)),
        (("a", "b", "c"), "c:0", (2, 0)),
        (("a:b", "c", "d"), "a:b", (0, 0)),
        (("a:b", "c", "d"), "a:b:c", (0, 1)),
        (("a:b", "c", "d"), "c:a:b", (1, 0)),
        (("a:b", "c", "d"), "2:a:b", (2, 0)),
        (("a:b", "c:d"), "c:d:a:b", (1, 0)),
        (("0", "10", "5"), "5:10", (2, 1)),
    ],
)
def test_a_path_between_classes_whose_names_may_have_colons(
    names: tuple[str, ...], wanted: str, path: tuple[int, int]
) -> None:
    assert of_classes(*names).class_path(wanted) == path


@pytest.mark.parametrize("wanted", ["x:c", "c:x", "a:b:x", ":c", "c:", ":"])
def test_a_path_to_a_class_that_there_is_not(wanted: str) -> None:
    with pytest.raises(UsageError, match=r"^There is no class"):
        of_classes("a:b", "c", "d").class_path(wanted)


def test_where_names_are_numbers_a_number_is_a_name() -> None:
    assert [of_classes("0", "10", "5").class_index(name) for name in ("0", "10", "5")] == [0, 1, 2]
    with pytest.raises(UsageError, match=r"^There is no class '1'"):
        of_classes("0", "10", "5").class_index("1")
    assert of_classes("ten", "5").class_index("0") == 0


def test_of_thousands_of_classes_a_hundred_are_listed() -> None:
    names = [f"n{k:04}" for k in range(1000)]
    with pytest.raises(UsageError, match=r"^There is no class 'x'\. Known: n0000, .*, n0099 and 900 others\.$"):
        of_classes(*names).class_index("x")
