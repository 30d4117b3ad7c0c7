"""Every installed component keeps every promise of its kind, a third party's too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog
from sngan_cli.conformance import check, promises_of
from sngan_cli.contracts import GROUPS, Component, DataError, Dataset, UsageError

PUBLISHED = {"dinov2", "inception-v3", "torchvision-inception"}
"""Extractors whose weights are downloaded: random ones stand in for them."""
SMALL: dict[str, dict[str, Any]] = {"kid": {"subsets": 5, "subset_size": 20}}
"""Options with which the images of a check suffice."""
INSTALLED = [(kind, name) for kind in GROUPS for name in Catalog.installed().names(kind)]


def made(kind: str, name: str) -> Component:
    """A component; networks are narrow where there is an option `width`."""
    catalog = Catalog.installed()
    narrow = {"width": 0.06} if kind == "architecture" and "width" in catalog.options(kind, name) else {}
    return catalog.make(kind, name, SMALL.get(name, narrow))


@pytest.mark.parametrize(("kind", "name"), INSTALLED, ids=[f"{kind}-{name}" for kind, name in INSTALLED])
def test_it_keeps_its_promises(kind: str, name: str, stand_in: Callable[..., Any], tmp_path: Path) -> None:
    tried = made(kind, name)
    if name in PUBLISHED:
        standing_in = stand_in(name)
        tried = standing_in.make(weights=standing_in.path)
    outcomes = list(check(tried, tmp_path))
    assert [found for found in outcomes if found.outcome == "broken"] == []
    assert len(outcomes) == len(promises_of(tried))
    unchecked = {found.why for found in outcomes if found.outcome == "unchecked"}
    read = isinstance(tried, Dataset) and tried.needs_data_dir  # their own tests make some pictures
    assert unchecked == ({"give its pictures with --data-dir"} if read else set())


@pytest.mark.parametrize("name", Catalog.installed().names("dataset"))
def test_without_a_network_a_data_set_says_what_to_do(name: str, tmp_path: Path) -> None:
    dataset = made("dataset", name)
    assert isinstance(dataset, Dataset)
    if not dataset.needs_data_dir:
        pytest.skip("is not read from files")
    with pytest.raises((DataError, UsageError), match=r"by hand|--data-dir"):
        dataset.open(None, tmp_path / "downloads")
