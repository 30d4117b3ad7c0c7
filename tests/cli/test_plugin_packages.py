"""`sngan plugins new` and `check`: a package of each kind, installed for real into a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog
from sngan_cli.contracts import GROUPS
from sngan_cli.errors import UsageError
from sngan_cli.scaffold import write

NAMES = {kind: f"my-{kind}" for kind in GROUPS}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    into = tmp_path_factory.mktemp("packages")
    return [write(kind, name, into) for kind, name in NAMES.items()]


@pytest.fixture(scope="module")
def site(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder), *map(str, packages)], check=True)
    return folder


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_new_packages_keep_their_promises(site: Path) -> None:
    for kind in NAMES:
        checked = python(site, "-m", "sngan_cli", "plugins", "check", f"sngan_My.{kind}", "--json")
        assert checked.returncode == 0, checked.stderr
        found = json.loads(checked.stdout)
        assert {row["name"] for row in found} == {f"my-{kind}"}
        assert {row["outcome"] for row in found} == {"kept"}


def test_their_own_tests_pass(packages: list[Path], site: Path) -> None:
    done = python(site, "-m", "pytest", "-q", "-c", os.devnull, *(str(folder / "tests") for folder in packages))
    assert done.returncode == 0, done.stdout
    assert f"{len(packages)} passed" in done.stdout


def test_they_train_and_score_together(site: Path, home: Path) -> None:
    def sngan(*arguments: str) -> str:
        done = python(site, "-m", "sngan_cli", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    roles = {"dataset": "dataset", "architecture": "arch", "loss": "loss", "normalization": "norm"}
    chosen = [f"--{role}={NAMES[kind]}" for kind, role in roles.items()]
    narrow = [f"--set={option}" for option in ("arch.channels=4", "loss.margin=0.5", "dataset.images=20")]
    tiny = ["--size=8", "--batch-size=4", "--g-batch-size=4", "--steps=2", "--eval-samples=20", "--device=cpu"]
    scored = ["--extractor=shapes-cnn", "--set=metrics.is.splits=2"]
    run = sngan("train", "--conditional", *chosen, *narrow, *tiny, *scored).strip()
    sngan("evaluate", run, f"--metric={NAMES['metric']}", f"--extractor={NAMES['extractor']}", "--protocol=quick")
    shown = json.loads(sngan("runs", "show", run, "--json"))
    ours = {c["role"] for c in shown["components"] if c["distribution"].startswith("sngan-my-")}
    assert ours == {"dataset", "arch_g", "arch_d", "loss", "norm"}
    (score,) = (score for score in shown["scores"] if score["metric"] == NAMES["metric"])
    assert score["evidence"]["extractor"] == NAMES["extractor"]


def test_new_prints_the_folder_and_says_what_is_next(sngan: Any, tmp_path: Path) -> None:
    made = sngan("plugins", "new", "least-squares", "--kind", "loss", "--into", tmp_path)
    folder = tmp_path / "sngan-least-squares"
    assert made.out == f"{folder}\n"
    assert "sngan plugins check least-squares --kind loss" in made.err
    written = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert written == [
        "README.md",
        "pyproject.toml",
        "sngan_least_squares/__init__.py",
        "sngan_least_squares/least_squares.py",
        "tests/test_least_squares.py",
    ]
    again = sngan("plugins", "new", "least-squares", "--kind", "loss", "--into", tmp_path)
    assert again.code == 2
    assert f"{folder} is there already" in again.err


@pytest.mark.parametrize("name", ["", "Hinge", "a b", "-a", "a--b", "../a", "lambda", "a" * 61, "é", "a\n"])
def test_a_name_that_no_module_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        write("loss", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cli", "plugins", "registry"])
def test_a_package_that_is_installed_is_not_written_again(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"The package sngan_{name} is installed already"):
        write("loss", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_class_bears_its_kind_once(tmp_path: Path) -> None:
    folder = write("loss", "my-loss", tmp_path)
    assert "class MyLoss(Loss, contract=1)" in (folder / "sngan_my_loss" / "my_loss.py").read_text(encoding="utf-8")


def test_a_name_that_is_taken_is_refused(sngan: Any, tmp_path: Path) -> None:
    made = sngan("plugins", "new", "hinge", "--kind", "loss", "--into", tmp_path)
    assert made.code == 2
    assert "The loss 'hinge' is there already, from sngan" in made.err


def test_a_folder_that_cannot_be_written_is_said(sngan: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = sngan("plugins", "new", "mine", "--kind", "loss", "--into", tmp_path / "file" / "deeper")
    assert made.code == 2
    assert str(tmp_path / "file" / "deeper" / "sngan-mine") in made.err


def test_what_is_broken_ends_in_an_error(sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a loss that pulls the wrong way, and a metric beside it."""
    metadata = tmp_path / "wrong_way-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-way\nVersion: 1.0\n")
    metric = "[sngan.metrics]\nright = sngan_plugins.metrics.fid:FrechetInceptionDistance\n"
    (metadata / "entry_points.txt").write_text(f"[sngan.losses]\nwrong = wrong_way:Wrong\n{metric}")
    (tmp_path / "wrong_way.py").write_text(WRONG)
    monkeypatch.syspath_prepend(str(tmp_path))
    Catalog.installed.cache_clear()
    try:
        checked = sngan("plugins", "check", "wrong-way")
        assert checked.code == 1
        assert "1 of 17 promises of 'wrong-way' are broken" in checked.err
        (line,) = [line for line in checked.out.splitlines() if "broken" in line]
        assert line.startswith("loss    wrong  D is moved")
        assert "D's loss does not pull them apart: real logits rise by -1 and generated ones by 1" in line
        assert sngan("plugins", "check", "wrong", "--set", "sign=1").out.count("kept") == 10
        assert sngan("plugins", "check", "wrong", "--set", "loss.sign=1").out.count("kept") == 10
        refused = sngan("plugins", "check", "wrong-way", "--set", "sign=1")
        assert refused.code == 2
        assert "--set sets options of one component, and 'wrong-way' is 2" in refused.err
        unknown = sngan("plugins", "check", "wrung")
        assert unknown.code == 3
        assert "There is no component or package 'wrung'. Did you mean 'wrong'" in unknown.err
    finally:
        Catalog.installed.cache_clear()


WRONG = '''
from sngan_cli.contracts import Loss


class Wrong(Loss, contract=1):
    """Moves D the wrong way."""

    sign: float = -1.0
    """1 for the right way."""

    def discriminator(self, real_logits, fake_logits):
        return self.sign * (fake_logits.mean() - real_logits.mean())

    def generator(self, fake_logits):
        return -fake_logits.mean()
'''
