"""What a run is told to do: its configuration, where the settings come from, and the recipes."""

from sngan_cli.config.layers import (
    Layer,
    config_file,
    flat,
    merge_scalars,
    parse_assignments,
    parse_set,
    recipe,
    recipe_names,
    shared_name,
    united,
)
from sngan_cli.config.run_config import ROLES, SETTINGS, RunConfig

__all__ = [
    "ROLES",
    "SETTINGS",
    "Layer",
    "RunConfig",
    "config_file",
    "flat",
    "merge_scalars",
    "parse_assignments",
    "parse_set",
    "recipe",
    "recipe_names",
    "shared_name",
    "united",
]
