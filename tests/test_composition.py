"""From layers of settings to components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sngan_cli.catalog import Catalog
from sngan_cli.composition import Composition, check_networks, compose, open_data, own_side
from sngan_cli.config import Layer, parse_set, recipe
from sngan_cli.contracts import Dataset, Pictures
from sngan_cli.errors import ComponentError, UsageError
from sngan_plugins.datasets.shapes import DrawnShapes


class Cells(Dataset, contract=1):
    """A data set of somebody else's, with some side and classes of its own."""

    needs_data_dir = False
    side: Any = 8
    classes: Any = None

    def open(self, root: Path | None, download_to: Path) -> Pictures:
        pictures = DrawnShapes(1, 0, 0)
        pictures.class_names = self.classes
        return pictures

    def default_side(self, pictures: Pictures) -> int:
        side: int = self.side
        return side


def made(*layers: Layer) -> Composition:
    return compose([recipe("paper"), Layer("base", {"dataset": "shapes"}), *layers], Catalog.installed())


def test_arch_names_both_networks_and_its_options_go_to_both() -> None:
    config = made(Layer("flags", {"arch": "standard"}), parse_set(["arch.width=0.5"])).config
    assert config.arch_g.name == config.arch_d.name == "standard"
    assert config.arch_g.options["width"] == config.arch_d.options["width"] == 0.5


def test_one_network_can_be_named_and_set_alone() -> None:
    config = made(Layer("flags", {"arch_d": "standard"}), parse_set(["arch_d.width=0.5"])).config
    assert (config.arch_g.name, config.arch_d.name) == ("resnet-preact", "standard")
    assert (config.arch_g.options["width"], config.arch_d.options["width"]) == (1.0, 0.5)


def test_a_shared_option_goes_to_the_network_that_has_it() -> None:
    config = made(Layer("flags", {"arch_d": "standard"}), parse_set(["arch.leaky_slope=0.2", "arch.width=0.5"])).config
    assert config.arch_d.options["leaky_slope"] == 0.2
    assert "leaky_slope" not in config.arch_g.options
    assert config.arch_g.options["width"] == config.arch_d.options["width"] == 0.5


def test_a_shared_option_that_neither_network_has_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'resnet-preact' has no option 'widht' .*Did you mean 'width'"):
        made(parse_set(["arch.widht=0.5"]))


def test_options_of_a_component_that_a_stronger_layer_replaces_are_dropped() -> None:
    config = made(
        Layer("file", {"arch": {"name": "resnet-preact", "last_ch": 512}}), Layer("flags", {"arch": "standard"})
    ).config
    assert "last_ch" not in config.arch_g.options


def test_a_flag_beats_set_and_set_beats_the_recipe() -> None:
    config = made(parse_set(["n_dis=3", "batch_size=8"]), Layer("flags", {"n_dis": 2})).config
    assert (config.n_dis, config.batch_size, config.g_batch_size) == (2, 8, 128)


def test_every_option_is_filled_in_and_its_supplier_known() -> None:
    composition = made()
    assert composition.config.arch_g.options["width"] == 1.0
    assert composition.entries["loss"].distribution == "sngan"
    assert composition.entries["metrics.is"].name == "is"


def test_the_data_set_chooses_the_extractor_unless_the_user_does() -> None:
    assert made().config.extractor.name == "shapes-cnn"
    assert made(Layer("flags", {"extractor": "inception-v3"})).config.extractor.name == "inception-v3"


def test_no_data_set_says_how_to_name_one() -> None:
    with pytest.raises(UsageError, match=r"No dataset is named: give one with --dataset, such as --dataset shapes"):
        compose([recipe("paper")], Catalog.installed())


def test_a_size_that_a_network_cannot_make_lists_those_it_can() -> None:
    with pytest.raises(
        UsageError, match=r"generator 'resnet-preact' cannot be built for 33 pixels\. Nearest sizes: .*32"
    ):
        check_networks(made(), 33)
    check_networks(made(), 32)


@pytest.mark.parametrize("key", ["metrics.is.split=3", "metrics.fd.x=3", "dataset.sed=3", "norm.n=1", "loss.margin=1"])
def test_unknown_options_and_metrics_are_refused(key: str) -> None:
    with pytest.raises(UsageError, match=r"no option|no metric"):
        made(parse_set([key]))


def scored_by(*layers: Layer) -> list[str]:
    composition = made(*layers)
    assert list(composition.metrics) == list(composition.config.metrics)
    return list(composition.metrics)


def test_metrics_that_are_chosen_replace_those_of_weaker_layers() -> None:
    chosen = parse_set(["scored_by=fid,kid"])
    assert scored_by(chosen) == ["fid", "kid"]
    assert scored_by(parse_set(["metrics.recall={}"]), chosen) == ["fid", "kid"]
    assert scored_by(parse_set(["scored_by=kid", "metrics.fid={}"])) == ["kid", "fid"]
    assert scored_by(chosen, parse_set(["metrics.recall={}"])) == ["fid", "kid", "recall"]
    assert scored_by(parse_set(["metrics.kid.subsets=7"]), chosen) == ["fid", "kid"]
    assert made(parse_set(["metrics.kid.subsets=7"]), chosen).config.metrics["kid"]["subsets"] == 7


def test_a_configuration_read_back_is_scored_by_the_same_metrics_in_their_order() -> None:
    config = made(parse_set(["scored_by=kid,is"])).config
    assert config.scored_by == ("kid", "is")
    assert scored_by(Layer("file", config.to_dict())) == ["kid", "is"]
    assert "scored_by" not in made().config.to_dict()


@pytest.mark.parametrize("value", [",", "", "fid,,kid", "3", "[]", "[1]"])
def test_metrics_to_score_by_are_names(value: str) -> None:
    with pytest.raises(UsageError, match=r"\(--set\) are no metrics to score by: name some, such as --metric is,fid"):
        made(parse_set([f"scored_by={value}"]))


def test_metrics_must_be_tables() -> None:
    with pytest.raises(UsageError, match="metrics must be tables"):
        made(parse_set(["metrics=is"]))


def test_a_component_must_be_a_name_or_a_table() -> None:
    with pytest.raises(UsageError, match=r"arch = 3 must be a name or a table"):
        made(Layer("file", {"arch": 3}))


@pytest.mark.parametrize(("classes", "said"), [(("", "b"), "''"), (("a", "b", "a"), "'a'")])
def test_classes_that_their_names_do_not_tell_apart_are_refused(
    classes: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(
        ComponentError,
        match=rf"^The data set 'cells' has class names that are empty or not all different, {said}: tell its author\.$",
    ):
        open_data(Cells(classes=classes), "cells", None, tmp_path)


def test_the_side_of_a_data_set_is_a_whole_number_of_any_library(tmp_path: Path) -> None:
    _, pictures = open_data(Cells(), "cells", None, tmp_path)
    found = own_side(Cells(side=np.int64(8)), "cells", pictures)
    assert (found, type(found)) == (8, int)
    for side in (8.0, None, 0):
        with pytest.raises(ComponentError, match=rf"'cells' has the default side {side}, no whole number of pixels"):
            own_side(Cells(side=side), "cells", pictures)
