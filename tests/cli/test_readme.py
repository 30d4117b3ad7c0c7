"""The README and its pages say what is true: their commands run, and their tables name what there is."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sngan_cli.catalog import Catalog
from sngan_cli.config import protocols, recipe, recipe_names
from sngan_cli.config.protocols import ScoringProtocol
from sngan_registry import Status, Store

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("training", "registry", "experiments", "scoring", "plugins")
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SMALL = [
    "--arch", "standard", "--set", "arch.width=0.05", "--size", "8", "--batch-size", "4", "--n-dis", "1", "--steps",
    "2", "--eval-samples", "20", "--extractor", "shapes-cnn", "--device", "cpu",
]  # fmt: skip


def commands() -> list[str]:
    """What a reader of the README and its pages would type after `sngan`, once each, without comments."""
    found = re.findall(r"^    sngan (.+)$", "\n".join([README, *PAGES.values()]), re.MULTILINE)
    return list(dict.fromkeys(re.sub(r"\s+#.*$", "", line) for line in found))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sngan: Any, home: Path) -> str:
    """Id of a conditional run with a checkpoint and a score, which was interrupted; its classes are CIFAR-10's."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(CLASSES):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (25 * k, 90, 120)).save(tmp_path / "pictures" / name / "1.png")
    done = sngan("train", "--dataset", "folder", "--data-dir", tmp_path / "pictures", "--conditional", *SMALL)
    assert done.code == 0, done.err
    run_id: str = done.out.strip()
    with Store.open(home / "registry.db") as store:
        store.close(run_id, Status.INTERRUPTED, step=2)
    return run_id


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """What `pip install -e` does for a plugin's package: its folder is imported from, its entry points are known."""

    def installed(package: Path) -> None:
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        metadata = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
        points = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
        (metadata / "entry_points.txt").write_text("".join(points))
        for folder in (tmp_path, package):
            monkeypatch.syspath_prepend(str(folder))
        Catalog.installed.cache_clear()

    yield installed
    Catalog.installed.cache_clear()


def test_every_command_runs(
    run: str, sngan: Any, install: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New runs are composed but not trained (--dry-run); everything else is done for real, on a small run."""
    (tmp_path / "pictures.zip").touch()
    typed = commands()
    assert len(typed) > 15
    for line in typed:
        command, _, target = line.partition(" > ")
        words = shlex.split(command.replace("RUN_ID", run).replace("200000", "3").replace("300000", "4"))
        if "..." in words:
            at = words.index("...")
            words[at : at + 1] = ["--dataset", "shapes", *SMALL]
        trains = words[0] == "train" and "--resume" not in words
        if (trains or words[:2] == ["experiments", "run"]) and "--dry-run" not in words:
            words += ["--dry-run", *(["--device", "cpu"] if trains else [])]
        if words[:2] == ["experiments", "report"]:
            settings = ("arch.width=0.05", "size=8", "batch_size=4", "g_batch_size=4", "eval_samples=20", "device=cpu")
            few = [word for setting in settings for word in ("--set", setting)]
            assert sngan("experiments", "run", words[2], "--dataset", "shapes", "--steps", 1, *few).code == 0
        if words[:2] == ["runs", "compare"]:
            assert sngan("train", "--like", run, "--loss", "hinge", "--name", "other").code == 0
        if words[:2] == ["extractors", "train"]:
            words += ["--dataset", "shapes", "--set", "dataset.images=40", "--size", "8", "--width", "4",
                      "--epochs", "1", "--device", "cpu"]  # fmt: skip
        if words[0] == "evaluate":
            quick = ScoringProtocol("quick", 40, 12, {"is": {"splits": 2}, "kid": {"subset_size": 10}})
            monkeypatch.setattr(protocols, "protocols", lambda few=quick: {"quick": few, "standard": few})
            if "--images" in words:
                shutil.copytree(tmp_path / "pictures", tmp_path / "my-pictures", dirs_exist_ok=True)
                here = {"cifar10": "shapes", "inception-v3": "shapes-cnn"}
                words = [here.get(word, word) for word in words]
        with monkeypatch.context() as elsewhere:
            if words[:2] == ["runs", "import"]:
                elsewhere.setenv("SNGAN_HOME", str(tmp_path / "elsewhere"))
            done = sngan(*words)
        assert done.code == 0, f"sngan {line}\n{done.err}"
        if words[:2] == ["plugins", "new"]:
            install(Path(done.out.strip()))
        if target:
            (tmp_path / target).write_text(done.out, encoding="utf-8")
        if "-o" in words:
            check_output(Path(words[words.index("-o") + 1]))


def check_output(path: Path) -> None:
    """A report's folder, a plot or a picture."""
    if path.is_dir():
        assert (path / "report.html").is_file()
    elif path.suffix == ".zip":
        assert zipfile.is_zipfile(path)
    elif path.suffix == ".svg":
        assert "<svg" in path.read_text(encoding="utf-8")
    else:
        with Image.open(path) as image:
            assert min(image.size) >= 8


def test_the_experiment_of_ones_own_is_one(sngan: Any, tmp_path: Path) -> None:
    (table,) = re.findall(r"^    title = .*?(?=^\S|\Z)", PAGES["experiments"], re.MULTILINE | re.DOTALL)
    path = tmp_path / "own.toml"
    path.write_text(textwrap.dedent(table), encoding="utf-8")
    done = sngan("experiments", "run", path, "--dry-run")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1 + 2 * 3


def test_every_built_in_component_and_recipe_is_named() -> None:
    built_in = {entry.name for entry in Catalog.installed().entries() if entry.distribution == "sngan"}
    named = set(re.findall(r"`([\w-]+)`", README))
    assert built_in <= named
    assert set(recipe_names()) <= named


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_link_leads_to_a_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    linked = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in linked if target and not ((ROOT / page).parent / target).exists()] == []


def test_every_page_is_linked_from_the_readme() -> None:
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"](docs/{path.name})" not in README] == []


def test_every_make_target_and_marker_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^    make (\w+)", README, re.MULTILINE)) <= targets
    markers = set(re.findall(r'^  "(\w+): ', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"pytest -m (\w+)", README)) == markers


def test_the_makefile_gives_the_demo_the_time_that_the_readme_gives_it() -> None:
    times = [re.findall(r"\w+ to \w+ minutes", text) for text in (README, (ROOT / "Makefile").read_text("utf-8"))]
    assert times == [["two to seven minutes"]] * 2


def test_metrics_of_a_recipe_beside_the_inception_score_are_named_in_its_row() -> None:
    rows = {name: re.findall(rf"^\| `{name}`.*$", README, re.MULTILINE)[0] for name in recipe_names()}
    others = {name: set(recipe(name).values["metrics"]) - {"is"} for name in rows}
    assert others["fast"] == {"diversity"}
    assert [(name, metric) for name in rows for metric in others[name] if f"`{metric}`" not in rows[name]] == []
