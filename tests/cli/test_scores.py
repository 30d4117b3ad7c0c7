"""`sngan scores`: runs and pictures by the same ruler, and never across protocols."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sngan_cli.config import protocols
from sngan_cli.config.protocols import ScoringProtocol
from sngan_plugins.datasets.shapes import Shapes
from sngan_registry import NewRun, PictureScore, Score, Store

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def drawn(folder: Path, count: int, *, seed: int = 7, suffix: str = "png") -> Path:
    """A folder of shapes of 8 px, one folder a class."""
    shapes = Shapes(images=count, seed=seed).open(None, folder)
    assert shapes.class_names is not None
    for k in range(count):
        pixels, label = shapes.read(k, 8)
        place = folder / shapes.class_names[label] / f"{k}.{suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels)).save(place)
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol of its own for the tests: that of the run in `trained`."""
    quick = ScoringProtocol("quick", 20, 12, {"is": {"splits": 2}})
    monkeypatch.setattr(protocols, "protocols", lambda: {"quick": quick})


def scored(sngan: Any, images: Path, *more: object) -> list[dict[str, Any]]:
    """Score pictures; returns what it printed, by metric."""
    done = sngan("evaluate", "--images", images, "--against", "shapes", "--size", 8, "--protocol", "quick", "--metric",
                 "is,fid", "--device", "cpu", "--json", *more)  # fmt: skip
    assert done.code == 0, done.err
    return sorted(done.json, key=lambda score: str(score["metric"]))


def of_pictures(sngan: Any) -> list[dict[str, Any]]:
    return [score for score in sngan("scores", "list", "--json").json if "pictures" in score]


def test_scores_of_pictures_are_recorded_as_they_are_printed(sngan: Any, tmp_path: Path, home: Path) -> None:
    assert not (home / "registry.db").exists()
    printed = scored(sngan, drawn(tmp_path / "theirs", 30), "--name", "theirs")
    kept = of_pictures(sngan)
    assert [score["metric"] for score in kept] == ["fid", "is"]
    for score, said in zip(kept, printed, strict=True):
        same = ("metric", "value", "std", "higher_is_better", "protocol", "evidence")
        assert {key: score[key] for key in same} == {key: said[key] for key in same}
        assert (score["pictures"], score["against"]) == ("theirs", "shapes")
        assert score["pictures_sha256"] == score["evidence"]["pictures_sha256"]
        assert score["evidence"]["pictures"] == str(tmp_path / "theirs")
    assert sngan("runs", "list", "--json").json == []


def test_pictures_are_called_by_their_path_and_known_by_their_content(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn(tmp_path / "one", 30)
    scored(sngan, Path("one"))
    scored(sngan, drawn(tmp_path / "copy", 30, suffix="bmp"))
    assert [score["pictures"] for score in of_pictures(sngan)] == ["one", "one"]
    scored(sngan, drawn(tmp_path / "others", 30, seed=8))
    assert sorted(score["pictures"] for score in of_pictures(sngan)) == [str(tmp_path / "others")] * 2 + ["one"] * 2


def test_pictures_are_held_against_the_data_as_they_are_whether_they_lie_in_folders_of_classes_or_not(
    sngan: Any, tmp_path: Path
) -> None:
    def greys(folder: Path, dark: int, light: int, *, sort: bool = True) -> Path:
        for name, count, least in (("dark", dark, 0), ("light", light, 200)):
            place = folder / name if sort else folder
            place.mkdir(parents=True, exist_ok=True)
            for k in range(count):
                Image.new("RGB", (8, 8), (least + k, least + k, least + k)).save(place / f"{name}{k}.png")
        return folder

    data, sorted_ = greys(tmp_path / "data", 30, 6), greys(tmp_path / "sorted", 15, 3)
    loose = greys(tmp_path / "loose", 15, 3, sort=False)
    found = [
        sngan("evaluate", "--images", images, "--against", "folder", "--data-dir", data, "--metric", "fid",
              "--protocol", "quick", "--extractor", "shapes-cnn", "--device", "cpu", "--json").json[0]
        for images in (sorted_, loose)
    ]  # fmt: skip
    assert [score["evidence"]["real_chosen"] for score in found] == ["as in the data"] * 2
    assert found[0]["value"] == pytest.approx(found[1]["value"])
    assert found[0]["protocol"] == found[1]["protocol"]


def test_other_pictures_never_get_the_same_name_without_a_word(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "evaluate",
        "--against",
        "shapes",
        "--size",
        8,
        "--protocol",
        "quick",
        "--device",
        "cpu",
        "--metric",
        "is",
    )
    warning = (
        "Other pictures are called 'out', too, and `sngan scores rm` would remove the scores of both: --name gives"
    )
    for k, place in enumerate(("one", "two")):
        drawn(tmp_path / place / "out", 30, seed=k)
        monkeypatch.chdir(tmp_path / place)
        said = sngan(*command, "--images", "out").err
        assert warning not in said
    whole = str(tmp_path / "two" / "out")
    assert f"These pictures are recorded as {whole!r}, since others are called 'out', and so are" in said
    assert {score["pictures"] for score in of_pictures(sngan)} == {"out", whole}
    assert "since others" not in sngan(*command, "--images", "out").err, "they keep the name that they have"
    for _ in range(2):
        said = sngan(*command, "--images", "out", "--name", "out").err
    assert warning not in said, "they had the name already"
    drawn(tmp_path / "three", 30, seed=5)
    assert warning in sngan(*command, "--images", tmp_path / "three", "--name", "out").err
    assert sngan("scores", "rm", "out", "--yes").err == (
        "Removed the 3 scores of 'out', which are of 3 sets of pictures.\n"
    )


def test_a_path_that_a_terminal_would_obey_is_escaped(sngan: Any, tmp_path: Path) -> None:
    for name, shown in (("a\nb", r"a\nb"), ("a\x1b[31mred", r"a\x1b[31mred"), (os.fsdecode(b"a\xff"), r"a\udcff")):
        missing = sngan("evaluate", "--protocol", "quick", "--images", tmp_path / "no" / name)
        assert (missing.code, missing.err.count("\n"), "\x1b" in missing.err) == (3, 1 + name.count("\n"), False)
        images = drawn(tmp_path / name, 30)
        for against in ((), ("--against", "shapes")):
            done = sngan("evaluate", "--images", images, *against, "--size", 8, "--protocol", "quick", "--metric", "is",
                         "--extractor", "shapes-cnn", "--device", "cpu")  # fmt: skip
            assert done.code == 0, done.err
            (kept,) = of_pictures(sngan)
            assert kept["pictures"] == kept["evidence"]["pictures"] == str(tmp_path / shown)
        assert sngan("scores", "list").out.splitlines()[2].endswith(shown)
        assert sngan("scores", "rm", str(tmp_path / shown), "--yes").code == 0


def test_a_name_is_that_of_all_scores_of_the_pictures_and_stays(sngan: Any, tmp_path: Path, home: Path) -> None:
    images = drawn(tmp_path / "one", 30)
    command = ("evaluate", "--images", images, "--against", "shapes", "--size", 8, "--protocol", "quick", "--device",
               "cpu", "--metric")  # fmt: skip
    assert "warning: All scores" not in sngan(*command, "is").err
    renamed = sngan(*command, "fid", "--name", "theirs")
    assert f"All scores of these pictures are under 'theirs' now, not '{images}'." in renamed.err
    assert "replaced" not in renamed.err
    kept = sngan(*command, "is,diversity")
    assert "Scored before by the same protocol, and replaced: is." in kept.err
    assert "These pictures are recorded as 'theirs', and so are their new scores: --name changes it." in kept.err
    assert {score["metric"]: score["pictures"] for score in of_pictures(sngan)} == dict.fromkeys(
        ("diversity", "fid", "is"), "theirs"
    )
    assert "recorded as" not in sngan(*command, "fid", "--name", "theirs").err
    with Store.open(home / "registry.db") as store:  # as where naming all was cut short
        store.picture_scores.add(replace(store.picture_scores.all()[0], pictures="mine", protocol="other n=1"))
    both = sngan(*command, "fid", "--name", "mine").err
    assert "All scores of these pictures are under 'mine' now, not 'theirs'." in both
    assert "Other pictures are called" not in both
    assert sngan("scores", "rm", "mine", "--yes").err == "Removed the 4 scores of 'mine'.\n"


def test_pictures_stand_beside_runs_best_first(sngan: Any, trained: str, tmp_path: Path) -> None:
    scored(sngan, drawn(tmp_path / "theirs", 30), "--name", "real shapes")
    found = sngan("scores", "list", "--metric", "is")
    assert found.code == 0
    heading, columns, *lines = found.out.splitlines()
    assert heading.startswith("is by quick (shapes-cnn@")
    assert heading.endswith("n=20 splits=2), greater is better")
    assert columns.split() == ["value", "std", "run", "name", "step", "weights"]
    assert len(lines) == 3
    assert lines[0].split()[2:] == ["pictures", "real", "shapes"]
    assert {tuple(line.split()[2:]) for line in lines[1:]} == {(trained, "tiny", step, "raw") for step in "24"}
    values = [float(line.split()[0]) for line in lines]
    assert values == sorted(values, reverse=True)
    ids = [score.get("run_id") for score in sngan("scores", "list", "--metric", "is", "--json").json]
    assert ids == [None, trained, trained]


@pytest.fixture
def registry(home: Path) -> Iterator[Store]:
    """Scores by hand: two protocols of one metric, and another metric of which less is better."""

    def add(name: str, metric: str, value: float, protocol: str, **evidence: Any) -> None:
        score = PictureScore(
            pictures=name, pictures_sha256=name, against="shapes", metric=metric, value=value, std=None,
            higher_is_better=metric == "is", protocol=protocol, evidence=evidence,
            created=NOON + timedelta(hours=value),
        )  # fmt: skip
        store.picture_scores.add(score)

    with Store.open(home / "registry.db") as store:
        for name, value in (("worse", 2.5), ("better", 3.5)):
            add(name, "is", value, "x@1 n=10 splits=2", **{"protocol name": "quick"})
        add("incomparable", "is", 9.0, "y@2 n=10 splits=2")
        add("far", "fid", 20.0, "x@1 n=10")
        add("near", "fid", 10.0, "x@1 n=10")
        yield store


def test_each_protocol_has_a_table_of_its_own(sngan: Any, registry: Store) -> None:
    assert (
        sngan("scores", "list").out
        == """\
fid by x@1 n=10, less is better
  value  run       name
10.0000  pictures  near
20.0000  pictures  far

is by quick (x@1 n=10 splits=2), greater is better
 value  run       name
3.5000  pictures  better
2.5000  pictures  worse

is by y@2 n=10 splits=2, greater is better
 value  run       name
9.0000  pictures  incomparable
"""
    )


def test_csv_has_every_score_with_its_protocol(sngan: Any, registry: Store) -> None:
    rows = list(csv.DictReader(io.StringIO(sngan("scores", "list", "--csv").out)))
    assert [row["name"] for row in rows] == ["near", "far", "better", "worse", "incomparable"]
    assert rows[2] == {
        "metric": "is", "protocol": "x@1 n=10 splits=2", "protocol.name": "quick", "value": "3.5", "std": "",
        "run": "pictures", "name": "better", "step": "", "weights": "", "seed": "", "against": "shapes",
        "created": (NOON + timedelta(hours=3.5)).isoformat(),
    }  # fmt: skip


def test_a_deviation_of_0_is_one(sngan: Any, registry: Store) -> None:
    alike = PictureScore(
        pictures="alike", pictures_sha256="alike", against="shapes", metric="kid", value=0.5, std=0.0,
        higher_is_better=False, protocol="x@1 n=10", evidence={}, created=NOON,
    )  # fmt: skip
    registry.picture_scores.add(alike)
    (row,) = csv.DictReader(io.StringIO(sngan("scores", "list", "--metric", "kid", "--csv").out))
    assert row["std"] == "0.0"
    assert sngan("scores", "list", "--metric", "kid").out.splitlines()[-1].split()[:2] == ["0.5000", "0.0000"]


def test_json_and_csv_are_not_printed_at_once(sngan: Any, registry: Store) -> None:
    for what in ("scores", "runs"):
        done = sngan(what, "list", "--json", "--csv")
        assert (done.code, done.out) == (2, "")
        assert done.err == "error: --json and --csv cannot be printed at once: give one of them.\n"


def test_the_best_of_many_draws_does_not_stand_for_a_run(sngan: Any, trained: str) -> None:
    before = sngan("runs", "list", "--json").json
    command = ("evaluate", trained, "--protocol", "quick", "--metric", "is", "--device", "cpu", "--json", "--seed")
    ((of_seven,), (of_own,)) = (sngan(*command, seed).json for seed in (7, 0))
    assert of_seven["protocol"] == of_own["protocol"].replace(" splits", " seed=7 splits")
    assert of_seven["evidence"]["protocol name"] == of_own["evidence"]["protocol name"] == "quick"
    assert of_seven["value"] != of_own["value"]
    own, seven = (
        text.splitlines() for text in sngan("scores", "list", "--metric", "is").out.removesuffix("\n").split("\n\n")
    )
    assert "seed=7" in seven[0]
    assert own[1].split() == seven[1].split() == ["value", "std", "run", "name", "step", "weights"]
    assert [line.split()[2:] for line in seven[2:]] == [[trained, "tiny", "4", "raw"]]
    assert sorted(line.split()[4] for line in own[2:]) == ["2", "4"]
    after = sngan("runs", "list", "--json").json
    kept = [score for score in after[0]["best"] if "seed=7" not in score["protocol"]]
    assert [score["value"] for score in kept] == [score["value"] for score in before[0]["best"]]


def test_runs_of_other_seeds_are_told_apart(sngan: Any, home: Path, trained: str) -> None:
    with Store.open(home / "registry.db") as store:
        run, (first, *_) = store.run(trained), store.scores(trained)
        new = NewRun(config=run.config, components=(), environment=run.environment, seed=7, steps=4)
        store.add_score(store.create_run(new).id, replace(first, evidence={**first.evidence, "seed": 7}))
    _, columns, *lines = sngan("scores", "list", "--metric", first.metric).out.splitlines()
    assert columns.split()[-1] == "seed"
    assert sorted(line.split()[-1] for line in lines) == ["0", "0", "7"]
    rows = csv.DictReader(io.StringIO(sngan("scores", "list", "--metric", first.metric, "--csv").out))
    assert sorted(row["seed"] for row in rows if row["run"]) == ["0", "0", "7"]


def test_a_metric_that_nothing_was_measured_by_is_refused(sngan: Any, registry: Store) -> None:
    done = sngan("scores", "list", "--metric", "fdi")
    assert (done.code, done.err) == (3, "error: There is no score 'fdi'. Did you mean 'fid'?\n")


def test_an_empty_registry_says_how_to_begin(sngan: Any, home: Path) -> None:
    done = sngan("scores", "list", "--metric", "fid")
    assert (done.code, done.out) == (0, "")
    assert f"There is no registry {home / 'registry.db'} yet: `sngan evaluate` measures" in done.err
    assert sngan("scores", "list", "--json").json == []
    assert not (home / "registry.db").exists()
    Store.open(home / "registry.db").dispose()
    there = sngan("scores", "list")
    assert (there.code, there.out) == (0, "")
    assert f"There are no scores in {home / 'registry.db'} yet: `sngan evaluate` measures" in there.err


def test_where_the_registry_is_gone_and_folders_of_runs_are_not_the_way_out_is_said(
    sngan: Any, trained: str, home: Path
) -> None:
    (home / "registry.db").unlink()
    hint = f"There are folders of runs in {home / 'runs'}: `sngan registry rebuild` takes them in.\n"
    for command in (("scores", "list"), ("runs", "list")):
        done = sngan(*command)
        assert (done.code, done.err.endswith(f".\n{hint}")) == (0, True), done.err
    for command in (("evaluate", "tiny"), ("runs", "show", "@last"), ("sample", trained, "-o", home / "x.png")):
        done = sngan(*command)
        assert (done.code, done.err.endswith(f"': the registry is empty. {hint}")) == (3, True), done.err
    shutil.rmtree(home / "runs")
    assert sngan("evaluate", "tiny").err == "error: There is no run 'tiny': the registry is empty.\n"


def test_rm_forgets_pictures_only_and_asks_first(sngan: Any, registry: Store, trained: str) -> None:
    refused = sngan("scores", "rm", "near")
    assert (refused.code, refused.err) == (
        2,
        "error: Removing the 1 score of 'near' needs --yes where nobody can be asked.\n",
    )
    done = sngan("scores", "rm", "near", "--yes")
    assert (done.code, done.out, done.err) == (0, "", "Removed the 1 score of 'near'.\n")
    again = sngan("scores", "rm", "near", "--yes")
    assert (again.code, "There are no pictures 'near' with scores." in again.err) == (3, True)
    assert sngan("scores", "rm", "tiny", "--yes").code == 3
    left = sngan("scores", "list", "--json").json
    assert [score["pictures"] for score in left if "pictures" in score] == ["far", "better", "worse", "incomparable"]
    assert len([score for score in left if "run_id" in score]) == 2


def test_nan_comes_last_and_is_null_in_json(sngan: Any, trained: str, home: Path) -> None:
    with Store.open(home / "registry.db") as store:
        (first, *_) = store.scores(trained)
        store.add_score(trained, Score(**{**vars(first), "step": 3, "value": float("nan")}))
    assert [score["step"] for score in sngan("scores", "list", "--json").json][-1] == 3
    assert sngan("scores", "list", "--json").json[-1]["value"] is None
    assert sngan("scores", "list").out.splitlines()[-1].split()[0] == "nan"


def test_the_table_of_spoilt_pictures_is_from_the_registry(
    sngan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/rulers.py in this process, on few pictures of `shapes`."""
    spec = importlib.util.spec_from_file_location("rulers", ROOT / "docs" / "rulers.py")
    assert spec is not None
    assert spec.loader is not None
    rulers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rulers)
    lines: list[str] = []
    monkeypatch.setattr(rulers, "sngan", lambda *words: sngan(*words).out)
    monkeypatch.setattr(rulers, "print", lambda line, **_: lines.extend(line.splitlines()), raising=False)
    archive = str(drawn(tmp_path / "drawn", 120))
    monkeypatch.setattr(
        sys, "argv", ["rulers.py", archive, "shapes-cnn", "--pictures", "12", "--metric", "is,kid,diversity"]
    )
    rulers.main()
    kept = {(score["pictures"], score["metric"]): score["value"] for score in of_pictures(sngan)}
    assert lines[0] == "| 12 pictures | is | kid | diversity |"
    assert (len(lines), len(kept)) == (2 + 7, 3 * 7)
    for line in lines[2:]:
        name, *values = line.strip("| ").split(" | ")
        assert values == [f"{kept[f'drawn: {name}', metric]:.3f}" for metric in ("is", "kid", "diversity")]
