"""The configuration: what it refuses, and that TOML loses nothing."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.config import Layer, RunConfig, config_file, recipe
from sngan_cli.errors import UsageError


def config(**settings: Any) -> RunConfig:
    layers = [recipe("paper"), Layer("test", {"dataset": "shapes", **settings})]
    return compose(layers, Catalog.installed()).config


def test_toml_is_read_back_as_the_same_configuration(tmp_path: Path) -> None:
    written = config(conditional=True, arch={"width": 0.25}, seed=7)
    path = tmp_path / "run.toml"
    path.write_text(written.to_toml())
    again = compose([recipe("paper"), config_file(path)], Catalog.installed()).config
    assert again == written
    assert tomllib.loads(written.to_toml())["arch_g"]["width"] == 0.25


def test_an_option_may_be_called_options() -> None:
    tables = config().to_dict() | {"loss": {"name": "opt", "slope": 50.0, "options": {"a": 1.0}}}
    read = RunConfig.parse(tables)
    assert (read.loss.name, read.loss.options) == ("opt", {"slope": 50.0, "options": {"a": 1.0}})
    assert RunConfig.parse(tomllib.loads(read.to_toml())).loss == read.loss
    changed = read.changed(seed=3)
    assert (changed.loss, changed.seed) == (read.loss, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_dis": 0}, r"n_dis = 0 cannot be used: input should be greater than or equal to 1"),
        ({"lr": -1}, r"lr_g = -1 cannot be used"),
        ({"lr_d": "fast"}, r"lr_d = 'fast' cannot be used: input should be a valid number"),
        ({"beta1": 1.0}, r"beta1 = 1\.0 cannot be used: input should be less than 1"),
        ({"steps": -5}, r"steps = -5 cannot be used"),
        ({"precision": "fp8"}, r"precision = 'fp8' cannot be used: input should be 'fp32', 'tf32' or 'bf16'"),
        ({"weights": "averaged", "ema": 0.0}, r"weights = 'averaged' needs averaged weights: set ema above 0"),
        ({"devices": 3}, r"batch_size = 64 cannot be shared evenly by devices = 3: choose a multiple"),
        ({"devices": 64, "g_batch_size": 100}, r"g_batch_size = 100 cannot be shared evenly by devices = 64"),
        ({"lr_d": 0.0}, r"lr_d = 0\.0 cannot be used: input should be greater than 0"),
        ({"lr_g": math.inf}, r"lr_g = inf cannot be used: input should be a finite number"),
        ({"lr_g": "2e-4"}, r"lr_g = '2e-4' cannot be used: input should be a valid number"),
        ({"n_dis": "5"}, r"n_dis = '5' cannot be used: input should be a valid integer"),
        ({"n_dis": True}, r"n_dis = True cannot be used: input should be a valid integer"),
        ({"steps": 100_000_000}, r"steps = 100000000 cannot be used: input should be less than or equal to 99999999"),
        ({"size": 4097}, r"size = 4097 cannot be used: input should be less than or equal to 4096"),
        ({"seed": 2**63}, r"seed = 9223372036854775808 cannot be used: input should be less than 9223372036854775808"),
        ({"data_dir": "\udcff"}, r"data_dir = '\\udcff' cannot be used: it is no valid Unicode"),
        ({"fakes": "reused", "g_batch_size": 32}, r"needs g_batch_size >= batch_size \(32 < 64\)"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(**settings)


def test_values_at_their_bounds_can_be_used() -> None:
    settings = {"steps": 99_999_999, "seed": 2**63 - 1, "fakes": "reused", "g_batch_size": 64, "size": 4096}
    assert config().changed(**settings).to_dict().items() >= settings.items()


def test_what_no_recipe_decides_is_what_it_is_by_default() -> None:
    assert RunConfig.defaults() == {
        "conditional": False,
        "devices": 1,
        "sync_batch_norm": True,
        "seed": 0,
        "device": "auto",
        "compile": "auto",
        "keep_every": 0,
        "log_every": 10,
    }
    assert config().to_dict().items() >= RunConfig.defaults().items()


def test_a_record_with_a_setting_that_there_is_not_or_with_steps_and_epochs_is_refused() -> None:
    with pytest.raises(UsageError, match=r"There is no setting 'sed'\. Did you mean 'seed'"):
        config().changed(sed=3)
    with pytest.raises(UsageError, match="give either steps or epochs"):
        config().changed(epochs=3)


def test_the_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config().seed = 3  # type: ignore[misc]
