"""The shape of the project: which way imports point, and what the distribution holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sngan_cli.contracts import GROUPS

ROOT = Path(__file__).parents[2]


def test_imports_point_one_way() -> None:
    """The rules are in pyproject.toml; import-linter comes with the development tools."""
    pytest.importorskip("importlinter")
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS


def test_every_module_of_the_program_is_on_the_map() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    said = re.findall(r"`(\w+)`", page.partition("| in `sngan_cli/` |")[2].partition("\n\n")[0])
    there = {path.stem for path in (ROOT / "sngan_cli").iterdir() if path.suffix in ("", ".py")}
    assert sorted(said) == sorted(name for name in there if not name.startswith("__"))


@pytest.mark.parametrize("name", ["plugins", "registry"])
def test_the_folders_of_the_checkout_are_no_packages_of_the_user(tmp_path: Path, name: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=tmp_path, capture_output=True, check=False)
    assert b"ModuleNotFoundError" in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The distribution, built from a copy of the sources."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("sngan_cli", "plugins", "registry"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (path,) = built.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_holds_three_packages_and_their_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "sngan_cli", "sngan_plugins", "sngan_registry",
    }  # fmt: skip
    for package in ("sngan_cli", "sngan_plugins", "sngan_registry"):
        assert f"{package}/py.typed" in names
    assert {"sngan_cli/config/recipes/paper.toml", "sngan_plugins/extractors/shapes_cnn.safetensors"} <= names
    assert "sngan_registry/migrations/versions/v0001_create_tables.py" in names
    weights = wheel.getinfo("sngan_plugins/extractors/shapes_cnn.safetensors")
    assert weights.file_size < 2**20


def test_the_wheel_has_the_program_and_every_component(wheel: zipfile.ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    lines = wheel.read(path).decode().splitlines()
    assert "sngan = sngan_cli.__main__:main" in lines
    for group in GROUPS.values():
        assert f"[{group}]" in lines
        ours = [point for point in entry_points(group=group) if point.dist and point.dist.name == "sngan"]
        assert ours
        assert {f"{point.name} = {point.value}" for point in ours} <= set(lines)
