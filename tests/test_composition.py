"""From layers of settings to components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sngan_cli.catalog import Catalog
from sngan_cli.composition import Composition, check_networks, compares, compose, data_root, open_data, own_side
from sngan_cli.config import Layer, parse_set, recipe
from sngan_cli.contracts import Dataset, Pictures
from sngan_cli.errors import ComponentError, NotFoundError, UsageError
from sngan_plugins.datasets.folder import Folder
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


@pytest.mark.parametrize("own_first", [False, True])
def test_what_a_layer_says_of_one_network_goes_before_what_it_says_of_both(own_first: bool) -> None:
    tables = [("arch", {"name": "standard", "width": 0.5}), ("arch_d", {"name": "resnet-preact", "width": 0.25})]
    config = made(Layer("file", dict(tables[::-1] if own_first else tables))).config
    assert (config.arch_g.name, config.arch_d.name) == ("standard", "resnet-preact")
    assert (config.arch_g.options["width"], config.arch_d.options["width"]) == (0.5, 0.25)
    both = made(Layer("file", {"arch": {"width": 0.5}, "arch_g": {"width": 0.25}})).config
    assert (both.arch_g.options["width"], both.arch_d.options["width"]) == (0.25, 0.5)


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
    said = r"generator 'resnet-preact' cannot be built for 33 pixels\. Nearest sizes: 28, 32, 40 \(of 6, 8, .*512\)"
    with pytest.raises(UsageError, match=said):
        check_networks(made(), 33)
    check_networks(made(), 32)
    with pytest.raises(UsageError, match=said):
        made(Layer("flags", {"size": 33}))
    strided = Layer("flags", {"arch_d": "standard-strided"})
    made(strided, Layer("flags", {"size": 32}))
    with pytest.raises(UsageError, match=r"discriminator 'standard-strided' cannot be built for 40 pixels"):
        made(strided, Layer("flags", {"size": 40}))


def test_a_network_that_an_architecture_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'standard-strided' has no generator: choose another with --arch-g"):
        made(Layer("flags", {"arch": "standard-strided"}))


def test_a_metric_is_refused_where_it_has_too_few_images_or_no_classes() -> None:
    with pytest.raises(UsageError, match=r"splits = 10 needs two images .*Their number is that of --eval-samples 19"):
        made(Layer("flags", {"eval_samples": 19}))
    assert made(Layer("flags", {"eval_samples": 20})).config.eval_samples == 20
    accuracy = parse_set(["scored_by=accuracy"])
    with pytest.raises(UsageError, match=r"The metric 'accuracy' needs classes: give --conditional, or leave it out"):
        made(accuracy)
    assert scored_by(accuracy, Layer("flags", {"conditional": True})) == ["accuracy"]


def test_metrics_that_compare_with_real_images_are_known() -> None:
    metrics = made(parse_set(["scored_by=is,fid,kid"])).metrics
    assert [name for name, metric in metrics.items() if compares(metric)] == ["fid", "kid"]


def test_a_place_of_data_is_there_and_asked_for_where_data_are_read_from_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'cells' is not read from files: leave --data-dir out"):
        data_root(Cells(), "cells", tmp_path)
    assert data_root(Cells(), "cells", None) is None
    assert data_root(Folder(), "folder", tmp_path) == tmp_path.resolve()
    with pytest.raises(NotFoundError, match=r"absent does not exist: give --data-dir a folder or an archive"):
        data_root(Folder(), "folder", tmp_path / "absent")


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


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"identity": ""}, "has the identity '', no text that names its content"),
        ({"identity": None}, "has the identity None, no text that names its content"),
        ({"class_names": "ab"}, "has the class names 'ab', no sequence of str"),
        ({"class_names": ("a", 3)}, r"has the class names \('a', 3\), no sequence of str"),
        ({"remarks": "careful"}, "has the remarks 'careful', no sequence of str"),
    ],
)
def test_pictures_that_are_not_what_the_contract_says_are_refused(
    broken: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = DrawnShapes(1, 0, 0)
    for name, value in broken.items():
        setattr(pictures, name, value)
    monkeypatch.setattr(Cells, "open", lambda *_: pictures)
    with pytest.raises(ComponentError, match=rf"^The data set 'cells' {said}: tell its author\.$"):
        open_data(Cells(), "cells", None, tmp_path)


def test_a_data_set_that_opens_as_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cells, "open", lambda *_: [1, 2])
    with pytest.raises(ComponentError, match=r"^The data set 'cells' opens as list, not Pictures: tell its author\.$"):
        open_data(Cells(), "cells", None, tmp_path)


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
