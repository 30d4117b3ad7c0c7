"""Reading settings from their sources, and which of them wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from sngan_cli.config import Layer, config_file, merge_scalars, parse_set, recipe, recipe_names, united
from sngan_cli.config.protocols import protocols
from sngan_cli.errors import NotFoundError, UsageError


def test_set_reads_toml_values_and_takes_the_rest_as_text() -> None:
    layer = parse_set(["arch.width=0.25", "n_dis=1", "conditional=true", "dataset.split=train+test", "data_dir='a b'"])
    assert layer.values == {
        "arch": {"width": 0.25},
        "n_dis": 1,
        "conditional": True,
        "dataset": {"split": "train+test"},
        "data_dir": "a b",
    }


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("width", r"--set 'width' is not KEY=VALUE"),
        ("=3", r"is not KEY=VALUE"),
        ("loss.=3", r"is not KEY=VALUE"),
        ("seed.x=3", r"'seed' is a plain setting, not a component"),
        ("los.margin=3", r"there is no setting 'los'\. Did you mean 'loss'"),
        ("loss=3", r"loss = 3 must be a name or a table"),
        ("loss=", r"--set: loss = '' names none: name one, or leave it out"),
        ("arch.name=", r"--set: arch = '' names none"),
        ("recipe=", r"--set: recipe = '' names none"),
    ],
)
def test_set_refuses_what_it_cannot_mean(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_set([assignment])


def test_set_may_have_spaces_about_the_equals_sign() -> None:
    assert parse_set([" loss = hinge ", "n_dis = 1"]).values == {"loss": "hinge", "n_dis": 1}


def test_settings_are_said_once_where_both_networks_agree_and_apart_where_they_do_not() -> None:
    settings = {"lr_g": 1e-4, "lr_d": 4e-4, "arch_g": "standard", "arch_d": "standard", "arch_g.width": 1, "n_dis": 5}
    assert united(settings) == {"lr_g": 1e-4, "lr_d": 4e-4, "arch": "standard", "arch_g.width": 1, "n_dis": 5}
    assert united({"lr_g": 1e-4, "n_dis": 5, "lr_d": 1e-4}) == {"lr": 1e-4, "n_dis": 5}


def test_an_empty_table_in_place_of_a_value_is_left_to_the_configuration_to_refuse() -> None:
    assert parse_set(["steps={}"]).values == {"steps": {}}


@pytest.mark.parametrize("assignments", [["arch=standard", "arch.width=2"], ["arch.width=2", "arch=standard"]])
def test_set_refuses_a_value_and_an_option_of_one_key(assignments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"one --set gives 'arch' a value, another sets an option .* arch\.name="):
        parse_set(assignments)


def test_later_layers_win() -> None:
    merged = merge_scalars([Layer("a", {"n_dis": 5, "seed": 1}), Layer("b", {"n_dis": 1})])
    assert merged == {"n_dis": 1, "seed": 1}


def test_lr_stands_for_both_rates_and_gives_way_to_each_in_the_same_layer() -> None:
    assert merge_scalars([Layer("a", {"lr": 1e-4, "lr_d": 4e-4})]) == {"lr_g": 1e-4, "lr_d": 4e-4}
    assert merge_scalars([Layer("a", {"lr_d": 4e-4}), Layer("b", {"lr": 1e-4})]) == {"lr_g": 1e-4, "lr_d": 1e-4}


def test_steps_and_epochs_displace_one_another() -> None:
    assert merge_scalars([Layer("a", {"steps": 10}), Layer("b", {"epochs": 2})]) == {"epochs": 2}
    assert merge_scalars([Layer("a", {"epochs": 2}), Layer("b", {"steps": 10})]) == {"steps": 10}
    with pytest.raises(UsageError, match="either steps or epochs"):
        Layer("a", {"steps": 1, "epochs": 1})


def test_the_recipes_are_listed_and_a_misspelt_one_is_corrected() -> None:
    assert {"paper", "seed"} <= set(recipe_names())
    with pytest.raises(UsageError, match=r"There is no recipe 'papr'\. Did you mean 'paper'"):
        recipe("papr")


PAPER = {
    "recipe": "paper",
    "steps": 100_000,
    "n_dis": 5,
    "batch_size": 64,
    "g_batch_size": 128,
    "lr": 2e-4,
    "beta1": 0.0,
    "beta2": 0.9,
    "lr_decay": "linear",
    "fakes": "fresh",
    "flip": False,
    "dequantize": True,
    "ema": 0.999,
    "weights": "raw",
    "eval_samples": 5_000,
    "eval_every": 5_000,
    "checkpoint_every": 5_000,
    "arch": "resnet-preact",
    "loss": "hinge",
    "norm": "spectral",
    "norm_g": "batch",
    "metrics": {"is": {"splits": 10}},
}


def test_the_paper_recipe_holds_the_numbers_of_the_paper() -> None:
    assert recipe("paper").values == PAPER


def test_the_seed_recipe_holds_the_numbers_of_the_article() -> None:
    assert recipe("seed").values == PAPER | {
        "recipe": "seed",
        "steps": 50_000,
        "g_batch_size": 64,
        "beta1": 0.5,
        "lr_decay": "none",
        "fakes": "reused",
        "dequantize": False,
        "ema": 0.0,
        "eval_samples": 10_000,
        "metrics": {"is": {"splits": 1}},
    }


def test_the_fast_recipe_updates_both_networks_alike_often_at_two_rates() -> None:
    expected = PAPER | {
        "recipe": "fast",
        "n_dis": 1,
        "g_batch_size": 64,
        "lr_g": 1e-4,
        "lr_d": 4e-4,
        "lr_decay": "none",
        "weights": "averaged",
        "norm_g": "spectral",
        "metrics": {"is": {"splits": 10}, "diversity": {}},
    }
    del expected["lr"]
    assert recipe("fast").values == expected


def test_the_protocols_hold_the_numbers_of_the_literature() -> None:
    ten, one = {"is": {"splits": 10}}, {"is": {"splits": 1}}
    assert {name: (p.images, p.real, p.metrics) for name, p in protocols().items()} == {
        "standard": (50_000, 0, ten),
        "sngan-2018": (10_000, 5_000, {"is": {"splits": 10, "images": 50_000}}),
        "article": (10_000, 10_000, one),
        "quick": (5_000, 5_000, ten),
    }


def test_a_configuration_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent\.toml cannot be read: No such file"):
        config_file(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("seed = \n")
    with pytest.raises(UsageError, match=r"bad\.toml is not valid TOML: .*line 1"):
        config_file(tmp_path / "bad.toml")
    (tmp_path / "typo.toml").write_text("sed = 3\n")
    with pytest.raises(UsageError, match=r"typo\.toml: there is no setting 'sed'\. Did you mean 'seed'"):
        config_file(tmp_path / "typo.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bytes\.toml cannot be read: it is not UTF-8"):
        config_file(tmp_path / "bytes.toml")


def test_a_configuration_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As editors on Windows write it."""
    path = tmp_path / "run.toml"
    path.write_text('loss = "hinge"\n', encoding="utf-8-sig")
    assert config_file(path).values == {"loss": "hinge"}
