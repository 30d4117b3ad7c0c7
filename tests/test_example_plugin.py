"""The example plugin package, installed for real into a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "plugins" / "example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(EXAMPLE)], check=True)
    return folder


def sngan(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-m", "sngan_cli", *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_it_is_listed_with_its_distribution(site: Path) -> None:
    shown = sngan(site, "plugins", "show", "least-squares", "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert (found["distribution"], found["version"]) == ("sngan-example", "0.1.0")


def test_it_trains_and_the_registry_knows_who_supplied_it(site: Path) -> None:
    tiny = [
        "--arch",
        "standard",
        "--set",
        "arch.width=0.05",
        "--size",
        "8",
        "--batch-size",
        "4",
        "--eval-samples",
        "20",
    ]
    trained = sngan(
        site, "train", "--dataset", "shapes", "--set", "dataset.images=20", *tiny, "--steps", "2",
        "--loss", "least-squares", "--set", "loss.real=0.9",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    shown = json.loads(sngan(site, "runs", "show", trained.stdout.strip(), "--json").stdout)
    loss = next(component for component in shown["components"] if component["role"] == "loss")
    assert (loss["distribution"], loss["options"]["real"]) == ("sngan-example", 0.9)


def test_its_own_tests_pass(site: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "--rootdir",
        str(EXAMPLE),
        str(EXAMPLE / "tests"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_without_it_the_name_is_unknown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sngan_cli", "train", "--dataset", "shapes", "--loss", "least-squares", "--dry-run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "There is no loss 'least-squares'" in done.stderr
