"""What every installed data set does, a third party's too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from sngan_cli.contracts import CONTRACT, GROUPS, DataError, Dataset, UsageError


@pytest.fixture(params=sorted(entry_points(group=GROUPS["dataset"]).names))
def dataset(request: pytest.FixtureRequest) -> Dataset:
    (found,) = entry_points(group=GROUPS["dataset"], name=request.param)
    component = found.load()()
    assert isinstance(component, Dataset)
    return component


def test_is_documented(dataset: Dataset) -> None:
    assert dataset.contract == CONTRACT
    assert type(dataset).__doc__
    assert all(field.description for field in type(dataset).model_fields.values())


def test_names_an_extractor_that_is_installed(dataset: Dataset) -> None:
    assert dataset.extractor in entry_points(group=GROUPS["extractor"]).names


def test_without_data_it_says_what_to_do(dataset: Dataset, tmp_path: Path) -> None:
    """The network is away, as in all tests."""
    if not dataset.needs_data_dir:
        pytest.skip("is not read from files")
    with pytest.raises((DataError, UsageError), match=r"by hand|--data-dir"):
        dataset.open(None, tmp_path / "downloads")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty"):
        dataset.open(tmp_path / "empty", tmp_path / "downloads")


def test_what_is_drawn_keeps_the_promises_of_pictures(dataset: Dataset, tmp_path: Path) -> None:
    if dataset.needs_data_dir:
        pytest.skip("is read from files; its own tests build some")
    pictures = dataset.open(None, tmp_path)
    assert dataset.default_side(pictures) >= 1
    assert pictures.identity == dataset.open(None, tmp_path).identity
    indices = range(min(30, len(pictures)))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda k: pictures.read(k, 9), indices))
    for k, (pixels, label) in zip(indices, read, strict=True):
        assert (pixels.shape, pixels.dtype) == ((9, 9, 3), np.uint8)
        assert 0 <= label < len(pictures.class_names or ("",))
        np.testing.assert_array_equal(pixels, pictures.read(k, 9)[0])
        assert pictures.name(k)
