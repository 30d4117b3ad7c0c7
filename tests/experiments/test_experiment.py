"""Experiments as files: those that come along hold what was published, and mistakes in one's own are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.errors import NotFoundError, SnganError, UsageError
from sngan_cli.experiments.experiment import Experiment, built_in, load, parse
from sngan_cli.experiments.plan import alike, plan
from sngan_registry import Store

OUR_OWN = {"n-dis-1", "precision"}
"""Experiments whose figures nobody has published."""
PUBLISHED = {
    "cifar10-standard": [5.844, 6.077, 6.094, 5.821],
    "cifar10-resnet": [3.916, 5.962, 3.908, 5.900],
    "stl10-standard": [5.932, 6.058, 6.157, 5.813],
    "stl10-resnet": [5.795, 7.136, 3.421, 3.883, 6.538, 7.314, 3.444, 3.653],
    "animeface": [None, None],
    "flowers102": [None, None],
    "stl10-postact-standard": [6.419, 5.663, 1.285, 2.634, 2.342, 2.447, 2.499, 2.722, 2.355, 2.544],
    "stl10-postact-postact": [4.621, 3.004, 4.789, 4.365, 4.990, 4.341],
    "stl10-preact-dchange": [5.955, 5.708, 6.906, 7.222],
}
"""Inception Scores of the article, case by case."""


def composed(experiment: Experiment, case: str) -> dict[str, Any]:
    layers = experiment.layers(experiment.case(case), 0, ())
    return compose(layers, Catalog.installed()).config.to_dict()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_scores_are_there(name: str) -> None:
    experiment = load(name)
    assert [case.name for case in experiment.cases] == [str(k) for k in range(len(PUBLISHED[name]))]
    assert [case.published.get("is") for case in experiment.cases] == PUBLISHED[name]


def test_forty_four_runs_were_published() -> None:
    assert sum(map(len, PUBLISHED.values())) == 44
    assert set(PUBLISHED) == set(built_in()) - OUR_OWN


@pytest.mark.parametrize("name", built_in())
def test_every_case_is_a_configuration_of_its_own(name: str) -> None:
    experiment = load(name)
    configurations = [composed(experiment, case.name) for case in experiment.cases]
    assert len({repr(configuration) for configuration in configurations}) == len(configurations)
    if name not in OUR_OWN:
        assert all(c["recipe"] == "seed" and c["fakes"] == "reused" for c in configurations)
        assert all(c["batch_size"] == c["g_batch_size"] == 64 for c in configurations)
        assert all(c["lr_decay"] == "none" and c["ema"] == 0 for c in configurations)


@pytest.mark.parametrize(
    ("name", "case", "expected"),
    [
        ("cifar10-standard", "0", {"beta1": 0.0, "epochs": 321, "size": 32, "lr_g": 2e-4, "conditional": False}),
        ("cifar10-resnet", "3", {"beta1": 0.5, "beta2": 0.9, "n_dis": 5, "conditional": True}),
        ("stl10-standard", "3", {"beta1": 0.0, "epochs": 1301, "size": 48, "conditional": True}),
        ("stl10-resnet", "2", {"n_dis": 1, "epochs": 261, "conditional": False}),
        ("animeface", "1", {"size": 96, "epochs": 1301}),
        ("flowers102", "0", {"size": 96, "epochs": 1901}),
        ("stl10-postact-standard", "9", {"lr_g": 2e-4, "lr_d": 1e-3, "beta2": 0.999, "n_dis": 1}),
        ("stl10-postact-postact", "0", {"beta2": 0.999, "n_dis": 5, "conditional": True}),
        ("stl10-preact-dchange", "3", {"beta2": 0.999, "epochs": 1301}),
    ],
)
def test_conditions_are_those_of_the_article(name: str, case: str, expected: dict[str, Any]) -> None:
    config = composed(load(name), case)
    assert {key: config[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "case", "arch_g", "arch_d", "option"),
    [
        ("cifar10-standard", "1", "standard", "standard", {}),
        ("stl10-resnet", "1", "resnet-preact", "resnet-preact", {"last_ch": 512}),
        ("stl10-resnet", "7", "resnet-preact", "resnet-preact", {"last_ch": 1024}),
        ("flowers102", "1", "resnet-preact", "resnet-strided", {}),
        ("stl10-postact-standard", "5", "resnet-postact", "standard-strided", {"leaky_slope": 0.1}),
        ("stl10-postact-standard", "6", "resnet-postact", "standard-strided", {"leaky_slope": 0.2}),
        ("stl10-postact-postact", "3", "resnet-postact", "resnet-postact", {"initial_ch": 32}),
        ("stl10-preact-dchange", "1", "resnet-preact", "resnet-postact", {}),
        ("stl10-preact-dchange", "2", "resnet-preact", "resnet-strided", {}),
    ],
)
def test_networks_are_those_of_the_article(
    name: str, case: str, arch_g: str, arch_d: str, option: dict[str, Any]
) -> None:
    config = composed(load(name), case)
    assert (config["arch_g"]["name"], config["arch_d"]["name"]) == (arch_g, arch_d)
    assert {key: config["arch_d"][key] for key in option} == option


GOOD = """
title = "Mine"
[fixed]
dataset = "shapes"
n_dis = 1
steps = 2
[[cases]]
case = "a"
loss = "hinge"
[[cases]]
case = "b"
loss = "cross-entropy"
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('title = "Mine"', "title = Mine", r"mine\.toml is not valid TOML: .*line 2"),
        ('title = "Mine"', "", r"mine\.toml: the experiment has no 'title'"),
        ('title = "Mine"', 'title = "Mine"\nseed = 1', r"mine\.toml, line 3: there is nothing called 'seed' here"),
        ('title = "Mine"', 'title = "Mine"\nseeds = []', r"mine\.toml, line 3: seeds = \[\]"),
        ('title = "Mine"', "title = 3", r"mine\.toml, line 2: title = 3"),
        ("n_dis = 1", "n_dsi = 1", r"mine\.toml, line 5: there is no setting 'n_dsi'. Did you mean 'n_dis'"),
        ("n_dis = 1", 'n_dis = "five"', r"mine\.toml, line 5 \(case a\): n_dis = 'five' cannot be used"),
        ("n_dis = 1", "seed = 1", r"mine\.toml, line 5: seed = 1: seeds of all cases stand at the top"),
        ('case = "b"', "", r"mine\.toml, line 10: the case has no 'case'"),
        ('case = "b"', 'case = "a"', r"mine\.toml, line 11: case 'a' is there twice"),
        ('case = "b"', 'case = "a b"', r"mine\.toml, line 11: case 'a b' must be named by"),
        ('case = "b"', 'case = "b"\nn_dis = 5', r"line 12: n_dis = 5 changes what \[fixed\] fixes at 1"),
        ('"cross-entropy"', '"crossentropy"', r"line 12 \(case b\): There is no loss 'crossentropy'. Did you mean"),
        ("n_dis = 1", 'arch = "standard"\narch.width = 0.5', r"not valid TOML: .* is written as arch\.name = "),
        ('title = "Mine"', 'title = "Mine"\nseeds = [-1]', r"mine\.toml, line 3: seeds\.0 = -1"),
        ("n_dis = 1", "epochs = 1", r"mine\.toml, line 6: give either steps or epochs, not both"),
        ('case = "b"', f'case = "{"b" * 61}"', r"line 11: case 'b+' must be named by"),
        ('case = "b"', "case = 3.5", r"line 11: case = 3\.5: "),
        ('"cross-entropy"', '"cross-entropy"\npublished.is = "good"', r"line 13: published.is.* = 'good'"),
        ('"cross-entropy"', '"cross-entropy"\npublished.is = nan', r"line 13: published.is.* = nan"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(before, after, 1), encoding="utf-8")
    with Store.open(tmp_path / "registry.db") as store, pytest.raises(SnganError, match=message):
        plan(load(str(path)), (), (), (), store)


def test_a_seed_counts_once_and_cases_are_alike_only_where_their_settings_are(tmp_path: Path) -> None:
    assert parse(GOOD.replace("[fixed]", "seeds = [1, 0, 1]\n[fixed]"), "mine", "mine.toml").seeds == (1, 0)
    same = parse(GOOD.replace("cross-entropy", "hinge"), "mine", "mine.toml")
    with Store.open(tmp_path / "registry.db") as store:
        planned = plan(parse(GOOD, "mine", "mine.toml"), (), (3, 3, 2), (), store)
        assert [(item.case.name, item.seed) for item in planned] == [("a", 3), ("b", 3), ("a", 2), ("b", 2)]
        assert alike(planned) == []
        assert alike(plan(same, (), (0, 1), (), store)) == [("a", "b")]


def test_a_file_whose_name_can_be_no_tag_is_to_be_renamed(tmp_path: Path) -> None:
    path = tmp_path / "my losses.toml"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(UsageError, match=r"my losses\.toml' cannot name an experiment: rename the file"):
        load(str(path))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert [case.name for case in load(str(path)).cases] == ["a", "b"]


def test_cases_may_be_written_inline() -> None:
    text = 'title = "t"\ncases = [\n  { case = 0, loss = "hinge" },\n  { case = 1, lozz = "hinge" },\n]\n'
    with pytest.raises(UsageError, match=r"^f\.toml, line 4: there is no setting 'lozz'"):
        parse(text, "f", "f.toml")
    assert [case.name for case in parse(text.replace("lozz", "loss"), "f", "f.toml").cases] == ["0", "1"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no experiment 'cifar-resnet'. Did you mean 'cifar10-resnet'"):
        load("cifar-resnet")
    with pytest.raises(NotFoundError, match=r"There is no file './none.toml'"):
        load("./none.toml")
    with pytest.raises(NotFoundError, match="has no case '9': choose one of 0, 1, 2, 3"):
        load("cifar10-resnet").case("9")
    (tmp_path / "one.toml").write_text(GOOD)
    with pytest.raises(UsageError, match=r"is a folder: name a file. In it: .*one\.toml"):
        load(str(tmp_path))
