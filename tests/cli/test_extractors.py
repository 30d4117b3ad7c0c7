"""`sngan extractors`: from a labelled data set to scores by a name of one's own."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from sngan_cli import trained_extractors
from sngan_cli.catalog import Catalog
from sngan_cli.contracts import Extractor
from sngan_cli.engine import classifier, device
from sngan_cli.engine.cache import prepare
from sngan_cli.engine.classifier import split
from sngan_cli.engine.device import fastest_precision
from sngan_plugins.datasets.shapes import DrawnShapes, Shapes
from sngan_registry import Store

TRAIN = [
    "--dataset", "shapes", "--set", "dataset.images=120", "--size", "8", "--width", "4", "--epochs", "2",
    "--batch-size", "16", "--device", "cpu",
]  # fmt: skip


@pytest.fixture
def mine(sngan: Any, home: Path) -> Path:
    """Folder of the trained extractor `mine`."""
    done = sngan("extractors", "train", "mine", *TRAIN)
    assert done.code == 0, done.err
    return home / "extractors" / "mine"


def pictures(folder: Path, **classes: int) -> Path:
    """A folder of plain pictures: so many of each class."""
    for k, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (60 * k + 3 * i, 90, 120)).save(folder / name / f"{i}.png")
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def leftovers(home: Path) -> list[Path]:
    return list((home / "extractors").glob("*")) if (home / "extractors").exists() else []


def test_it_prints_name_accuracy_and_place_and_keeps_what_it_did(sngan: Any, home: Path) -> None:
    done = sngan("extractors", "train", "mine", *TRAIN, "--seed", 3, "--held-out", 0.25, "--cutout", 2,
                 "--set", "extractor.depth=2", "--set", "extractor.mirror=true")  # fmt: skip
    assert done.code == 0, done.err
    name, accuracy, path = done.out.strip().split("\t")
    assert (name, path) == ("mine", str(home / "extractors" / "mine" / "weights.safetensors"))
    assert "extractor mine: shapes 8 px, 10 classes, 90 pictures to train on and 30 held out, 2 epochs" in done.err
    assert "epoch 2/2  loss " in done.err
    assert leftovers(home) == [home / "extractors" / "mine"]
    manifest = json.loads((home / "extractors" / "mine" / "manifest.json").read_text())
    assert manifest["weights_sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert f"{manifest['accuracy']:.4f}" == accuracy
    assert manifest["accuracy"] * 30 == pytest.approx(round(manifest["accuracy"] * 30))
    assert manifest["extractor"] == {"name": "classifier", "width": 4, "depth": 2, "mirror": True}
    assert (manifest["dataset"]["name"], manifest["dataset"]["images"]) == ("shapes", 120)
    expected = {"format": 1, "name": "mine", "side": 8, "classes": 10, "images": 90, "held_out": 30, "epochs": 2,
                "batch_size": 16, "seed": 3, "flip": True, "cutout": 2, "distribution": "sngan",
                "precision": fastest_precision(torch.device("cpu"))}  # fmt: skip
    assert {key: manifest[key] for key in expected} == expected
    assert len(manifest["class_names"]) == 10
    assert len(manifest["data_sha256"]) == 64
    assert manifest["seconds"] > 0
    assert manifest["environment"]["command"].startswith("sngan extractors train mine --dataset shapes")
    assert manifest["environment"]["device"].startswith("cpu")
    assert load_file(path)["classifier.weight"].shape == (10, 16)


def test_debug_says_what_was_set_for_speed(sngan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "settle", lambda device: ["glibc keeps freed memory"])
    monkeypatch.setenv("SNGAN_DEBUG", "1")
    assert "debug: glibc keeps freed memory\n" in sngan("extractors", "train", "mine", *TRAIN).err


def _shapes(folder: Path) -> Path:
    shapes = Shapes(images=20).open(None, folder)
    folder.mkdir()
    for k in range(20):
        Image.fromarray(np.asarray(shapes.read(k, 8)[0])).save(folder / f"{k}.png")
    return folder


def test_one_that_has_learned_nothing_is_kept_with_a_warning(sngan: Any, tmp_path: Path) -> None:
    done = sngan("extractors", "train", "blind", *TRAIN, "--lr", 1e-8)
    assert done.code == 0
    accuracy = trained_extractors.read("blind").accuracy
    assert done.out.startswith(f"blind\t{accuracy:.4f}\t")
    said = (
        f"warning: The extractor 'blind' is kept, but scores by it will mean little: its accuracy of {accuracy:.1%} on "
        "10 held-out pictures is not clearly above the 10.0% of naming the most frequent class every time. Train it "
        "again with --replace and more --epochs, another --lr or more pictures"
    )
    assert said in done.err
    luck = 0.1 + 2 * (0.1 * 0.9 / 10) ** 0.5
    assert trained_extractors.read("blind").chance == pytest.approx(luck)
    scored = sngan("evaluate", "--images", _shapes(tmp_path / "shapes"), "--size", 8, "--extractor", "blind",
                   "--metric", "is", "--set", "metrics.is.splits=1", "--device", "cpu", "--json")  # fmt: skip
    (evidence,) = (score["evidence"] for score in scored.json)
    assert evidence["extractor_accuracy"] == accuracy
    assert evidence["remark"].startswith(
        f"the extractor names the class of {accuracy:.1%} of its held-out pictures, no more than by chance"
    )
    for k in range(80):
        (tmp_path / "own" / "nb"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (k, 250 * (k % 2), 90)).save(tmp_path / "own" / "nb"[k % 2] / f"{k}.png")
    learned = sngan("extractors", "train", "keen", "--dataset", "folder", "--data-dir", tmp_path / "own", "--width", 4,
                    "--epochs", 6, "--held-out", 0.3, "--batch-size", 16, "--device", "cpu")  # fmt: skip
    assert (learned.code, trained_extractors.read("keen").accuracy > 0.9) == (0, True)
    assert "warning" not in learned.err
    scored = sngan("evaluate", "--images", tmp_path / "own", "--size", 8, "--extractor", "keen", "--metric", "is",
                   "--set", "metrics.is.splits=1", "--device", "cpu", "--json")  # fmt: skip
    (evidence,) = (score["evidence"] for score in scored.json)
    assert evidence["extractor_accuracy"] > 0.9
    assert "by chance" not in evidence.get("remark", "")


def test_its_name_scores_a_run_of_another_size_and_the_run_names_the_weights(
    sngan: Any, tiny: list[str], mine: Path
) -> None:
    manifest = json.loads((mine / "manifest.json").read_text())
    arguments = [*("16" if word == "8" else word for word in tiny), "--extractor", "mine"]
    shown = sngan("train", *arguments, "--steps", 2, "--dry-run").out
    table = tomllib.loads(shown)["extractor"]
    assert table == {
        "name": "classifier", "width": 4, "depth": 1, "mirror": False, "trained": "mine",
        "weights": str(mine / "weights.safetensors"), "sha256": manifest["weights_sha256"],
    }  # fmt: skip
    done = sngan("train", *arguments, "--steps", 2)
    assert "Images of 16 px are scored as 8 px, which the extractor was trained for" in done.err
    run_id = done.out.strip()
    run = sngan("runs", "show", run_id, "--json").json
    (score,) = run["scores"]
    assert score["protocol"].startswith(f"mine@{manifest['weights_sha256'][:8]} n=20")
    assert score["evidence"]["extractor"] == "mine"
    assert score["evidence"]["weights_sha256"] == manifest["weights_sha256"]
    assert score["evidence"]["resized"] == "16 px to 8 px"
    assert run["config"]["extractor"] == table
    assert 1 <= score["value"] <= 10
    resumed = sngan("train", "--resume", run_id, "--extractor", "mine", "--steps", 3)
    assert resumed.code == 0, resumed.err
    assert len(sngan("runs", "show", run_id, "--json").json["scores"]) == 2


def test_weights_that_have_moved_are_found_again(
    sngan: Any, tiny: list[str], home: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = sngan("train", *tiny, "--steps", 1, "--extractor", "mine").out.strip()
    moved = home.with_name("moved")
    home.rename(moved)
    monkeypatch.setenv("SNGAN_HOME", str(moved))
    resumed = sngan("train", "--resume", run_id, "--steps", 2)
    assert resumed.code == 0, resumed.err
    used = sngan("runs", "show", run_id, "--json").json["config"]["extractor"]["weights"]
    assert used == str(moved / "extractors" / "mine" / "weights.safetensors")
    manifest = moved / "extractors" / "mine" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"weights_sha256": "', '"weights_sha256": "0'))
    (moved / "extractors" / "mine").rename(moved / "extractors" / "other")
    refused = sngan("train", "--resume", run_id, "--steps", 3)
    assert refused.code == 1
    assert refused.err.endswith(
        f"does not lie here: copy its folder, under any name, from where it is kept to {moved / 'extractors'}.\n"
    )


def test_weights_that_are_gone_are_named(sngan: Any, tiny: list[str], mine: Path, home: Path) -> None:
    run_id, score = sngan("train", *tiny, "--steps", 1).out.strip(), ("--metric", "is", "--device", "cpu")
    (mine / "weights.safetensors").rename(home / "elsewhere")
    refused = sngan("evaluate", run_id, "--extractor", "mine", *score)
    assert refused.code == 1
    assert f"The weights {mine / 'weights.safetensors'} of the extractor 'mine' are gone: put the file" in refused.err
    lies_at = (
        "--set",
        f"extractor.weights={home / 'elsewhere'}",
        "--set",
        "metrics.is.splits=1",
        "--protocol",
        "quick",
    )
    done = sngan("evaluate", run_id, "--extractor", "mine", *score, *lies_at, "--json")
    assert (done.code, done.json[0]["protocol"].split("@")[0]) == (0, "mine")


def test_weights_that_the_user_names_are_not_sought_elsewhere(sngan: Any, tiny: list[str], mine: Path) -> None:
    run_id = sngan("train", *tiny, "--steps", 1, "--extractor", "mine").out.strip()
    refused = sngan("evaluate", run_id, "--device", "cpu", "--set", "extractor.weights=/nowhere/file")
    assert refused.code == 3
    assert "extractor.weights = '/nowhere/file' names no file: give the weights of the extractor 'mine'" in refused.err


def test_a_configuration_that_names_it_means_the_same_again(
    sngan: Any, tiny: list[str], mine: Path, tmp_path: Path
) -> None:
    shown = sngan("train", *tiny, "--steps", 1, "--extractor", "mine", "--dry-run").out
    (tmp_path / "run.toml").write_text(shown, encoding="utf-8")
    assert sngan("train", "--config", tmp_path / "run.toml", "--dry-run").out == shown
    other = sngan("train", "--config", tmp_path / "run.toml", "--extractor", "shapes-cnn", "--dry-run").out
    assert tomllib.loads(other)["extractor"] == {"name": "shapes-cnn"}


def test_changed_weights_end_a_run_before_it_begins(sngan: Any, tiny: list[str], mine: Path) -> None:
    with (mine / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    done = sngan("train", *tiny, "--steps", 1, "--extractor", "mine")
    assert done.code == 1
    assert json.loads((mine / "manifest.json").read_text())["weights_sha256"] in done.err
    assert hashlib.sha256((mine / "weights.safetensors").read_bytes()).hexdigest() in done.err
    assert sngan("runs", "list", "--json").json == []


def test_a_name_that_nothing_bears_suggests_trained_ones(sngan: Any, tiny: list[str], mine: Path) -> None:
    done = sngan("train", *tiny, "--steps", 1, "--extractor", "mime")
    assert (done.code, done.err) == (3, "error: There is no extractor 'mime'. Did you mean 'mine'?\n")


def test_list_and_show(sngan: Any, mine: Path) -> None:
    listed = {row["name"]: row for row in sngan("extractors", "list", "--json").json}
    assert {"classifier", "inception-v3", "shapes-cnn", "mine"} <= set(listed)
    assert listed["shapes-cnn"]["kind"] == "plugin"
    own = listed["mine"]
    assert (own["kind"], own["dataset"], own["side"], own["classes"]) == ("trained", "shapes", 8, 10)
    shown = sngan("extractors", "show", "mine", "--json").json
    assert (shown["weights_sha256"], shown["path"]) == (own["weights_sha256"], str(mine))
    line = next(line for line in sngan("extractors", "list").out.splitlines() if line.startswith("mine "))
    assert line.split() == ["mine", "trained", "shapes", "8", "10", f"{own['accuracy']:.4f}", own["weights_sha256"][:8],
                            "here"]  # fmt: skip
    text = sngan("extractors", "show", "mine").out
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    assert rows[:2] == [["extractor mine"], ["state", "here"]]
    for row in (
        ["accuracy", f"{own['accuracy']:.6g}"], ["seconds", f"{shown['seconds']:.6g}"], ["flip", "yes"],
        ["extractor", "classifier", "width=4 depth=1 mirror=no"], ["dataset", "shapes", "images=120 tilt=25 seed=0"],
        ["class names", ", ".join(shown["class_names"])], ["environment"], ["command", shown["environment"]["command"]],
        ["recorded"],
    ):  # fmt: skip
        assert row in rows
    assert not {"data dir", "removed"} & {row[0] for row in rows}
    assert not any(line.endswith((" ", ":")) for line in text.splitlines())
    missing = sngan("extractors", "show", "mime")
    assert (missing.code, missing.err) == (3, "error: There is no extractor 'mime'. Did you mean 'mine'?\n")


@pytest.mark.parametrize("content", ["", "{}", '{"format": 1}', "[]", '{"format": 2, "name": "mine"}'])
def test_a_damaged_manifest_is_named_and_hides_no_other(sngan: Any, tiny: list[str], mine: Path, content: str) -> None:
    (mine / "manifest.json").write_text(content)
    done = sngan("extractors", "list")
    assert (done.code, "shapes-cnn" in done.out, "mine" in done.out) == (0, True, True)
    assert str(mine / "manifest.json") in done.err
    used = sngan("train", *tiny, "--steps", 1, "--extractor", "mine")
    assert used.code == 1
    assert str(mine / "manifest.json") in used.err
    assert not re.search(r"Error\b|__init__", used.err)
    assert sngan("extractors", "rm", "mine", "--yes").code == 0


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{\n", "it is no whole JSON, from line 2 on"),
        (b"\xff", "it is no text in UTF-8"),
        (b'{"format": 1}', "it lacks what a manifest says, or says something else"),
        (None, "No such file or directory"),
    ],
)
def test_a_damaged_manifest_is_explained_with_the_way_out(
    sngan: Any, mine: Path, content: bytes | None, fault: str
) -> None:
    path = mine / "manifest.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    said = (
        f"The manifest {path} cannot be read: {fault}. Restore it from a copy, train the extractor again with "
        "--replace, or remove it with `sngan extractors rm mine`.\n"
    )
    assert said in sngan("extractors", "list").err
    assert sngan("extractors", "register", "mine").err == f"error: {said}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy": "0.5"}, {"weights_sha256": 5}, {"environment": 3}, {"dataset": {"name": ["x"]}},
        {"created": "then"}, {"class_names": [1]}, {"extractor": "classifier"},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_of_wrong_types_hides_no_other(sngan: Any, mine: Path, wrong: dict[str, Any]) -> None:
    path = mine / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    for command in (["list"], ["show", "mine"], ["register", "mine"]):
        done = sngan("extractors", *command)
        assert "it lacks what a manifest says, or says something else" in done.err
    assert "shapes-cnn" in sngan("extractors", "list").out


def test_one_that_another_process_removes_as_it_is_replaced_costs_no_training(
    sngan: Any, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discard = trained_extractors.discard

    def twice(name: str) -> Any:
        discard(name)
        return discard(name)

    monkeypatch.setattr(trained_extractors, "discard", twice)
    done = sngan("extractors", "train", "mine", *TRAIN, "--replace")
    assert done.code == 0, done.err
    assert mine.is_dir()


def test_what_a_killed_training_left_is_swept_in_time(sngan: Any, mine: Path) -> None:
    old, new = (mine.with_name(f".{name}.0.partial") for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    assert sngan("extractors", "train", "other", *TRAIN).code == 0
    assert (old.exists(), new.exists()) == (False, True)


def test_an_installed_one_is_neither_removed_nor_registered(sngan: Any, mine: Path) -> None:
    owner = "error: The extractor 'shapes-cnn' is part of the installed package sngan "
    removed = sngan("extractors", "rm", "shapes-cnn", "--yes")
    assert (removed.code, removed.err.startswith(owner)) == (2, True), removed.err
    assert removed.err.endswith(", and cannot be removed by itself: only trained ones are.\n")
    registered = sngan("extractors", "register", "shapes-cnn")
    assert (registered.code, registered.err.startswith(owner)) == (2, True), registered.err
    assert registered.err.endswith(", and need not be registered: only trained ones are.\n")


def test_rm_moves_to_the_trash_and_asks_first(sngan: Any, home: Path, mine: Path) -> None:
    refused = sngan("extractors", "rm", "mine")
    assert (refused.code, mine.exists()) == (2, True)
    assert "Removing the extractor 'mine' needs --yes" in refused.err
    done = sngan("extractors", "rm", "mine", "--yes")
    trash = Path(done.out.strip())
    assert (done.code, mine.exists(), trash.parent) == (0, False, home / "trash")
    assert sorted(p.name for p in trash.iterdir()) == ["manifest.json", "weights.safetensors"]
    assert sngan("extractors", "rm", "mine", "--yes").code == 3


def test_rm_says_which_runs_it_scores(sngan: Any, tiny: list[str], home: Path, mine: Path) -> None:
    named = sngan("train", *tiny, "--steps", 1, "--extractor", "mine").out.strip()
    others = [sngan("train", *tiny, "--steps", 1).out.strip() for _ in range(2)]
    sha256 = trained_extractors.read("mine").weights_sha256
    with Store.open(home / "registry.db") as store:  # as `sngan evaluate --extractor mine` leaves it
        score = store.scores(others[0])[0]
        store.add_score(others[0], replace(score, protocol="mine", evidence={"weights_sha256": sha256}))
    by = f"scores 2 runs ({others[0]}, {named})"
    refused = sngan("extractors", "rm", "mine")
    assert f"Removing the extractor 'mine', which {by} needs --yes" in refused.err
    shutil.copytree(mine, mine.with_name("copy"))
    assert "Removing the extractor 'mine' needs --yes" in sngan("extractors", "rm", "mine").err  # the copy does as well
    shutil.rmtree(mine.with_name("copy"))
    done = sngan("extractors", "rm", "mine", "--yes")
    assert done.err == f"The extractor 'mine' {by}: `sngan extractors restore mine` gets it back.\n"


def test_a_name_that_is_taken_needs_replace_and_the_old_one_goes_to_the_trash(
    sngan: Any, home: Path, mine: Path
) -> None:
    before = (mine / "weights.safetensors").read_bytes()
    refused = sngan("extractors", "train", "mine", *TRAIN)
    assert refused.code == 2
    assert "There is an extractor 'mine' already" in refused.err
    done = sngan("extractors", "train", "mine", *TRAIN, "--replace", "--seed", 5)
    assert done.code == 0, done.err
    (old,) = (home / "trash").iterdir()
    weights = sha256(before)[:8]
    back = f"`sngan extractors restore mine --weights {weights} --as mine-{weights}` gets it back"
    assert f"The extractor that it replaces is in {old}: {back}, too." in done.err
    assert (old / "weights.safetensors").read_bytes() == before
    assert (mine / "weights.safetensors").read_bytes() != before


def test_one_whose_name_is_taken_while_it_is_trained_is_kept_by_another(
    sngan: Any, home: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = classifier.train

    def copy_meanwhile(*arguments: Any, **more: Any) -> float:
        shutil.copytree(mine, home / "extractors" / "same")
        return train(*arguments, **more)

    monkeypatch.setattr(classifier, "train", copy_meanwhile)
    done = sngan("extractors", "train", "same", *TRAIN, "--seed", 5)
    manifests = {path: json.loads((path / "manifest.json").read_text()) for path in leftovers(home)}
    (kept,) = {path.name for path in manifests} - {"mine", "same"}
    path = home / "extractors" / kept
    weights = sha256((path / "weights.safetensors").read_bytes())
    assert (kept, manifests[path]["seed"]) == (f"same-{weights[:8]}", 5)
    assert (done.code, done.out.split("\t")[::2]) == (1, [kept, f"{path / 'weights.safetensors'}\n"])
    assert done.err.endswith(
        f"error: Another extractor was called 'same' while this one was trained, which is whole, and called {kept!r}.\n"
    )
    row = next(row for row in sngan("extractors", "list", "--json").json if row["name"] == kept)
    assert (row["state"], row["weights_sha256"]) == ("here", weights)


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "..", ".hidden", "@last", "a\nb", "back\\slash", "x" * 101, " padded"]
)
def test_bad_names_are_refused_with_the_rule(sngan: Any, home: Path, name: str) -> None:
    done = sngan("extractors", "train", name, *TRAIN)
    assert done.code == 2
    assert "a name has 1 to 100 bytes, no slashes, control characters" in done.err
    assert leftovers(home) == []


def test_weights_that_cannot_be_written_are_found_out_before_the_training(
    sngan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tied(self: Any, side: int, classes: int) -> torch.nn.Module:
        layers = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        layers[1].weight = layers[0].weight
        return torch.nn.Sequential(*layers)

    monkeypatch.setattr(Catalog.installed().load("extractor", "classifier").component, "network", tied)
    monkeypatch.setattr(classifier, "train", lambda *given, **more: pytest.fail("it is trained"))
    done = sngan("extractors", "train", "mine", *TRAIN)
    assert done.code == 1
    assert re.search(r"error: The extractor 'classifier' of sngan \S+ failed: RuntimeError: .*share memory", done.err)


@pytest.mark.parametrize("in_the_end", [False, True])
def test_a_disk_without_room_for_the_weights_is_said_with_the_way_out(
    sngan: Any, home: Path, monkeypatch: pytest.MonkeyPatch, in_the_end: bool
) -> None:
    def opened(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        if path.name == "weights.safetensors" and mode == ("r+b" if in_the_end else "wb"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, mode, *more, **named)

    real = Path.open
    monkeypatch.setattr(Path, "open", opened)
    done = sngan("extractors", "train", "mine", *TRAIN)
    assert (done.code, leftovers(home)) == (1, [])
    assert re.search(r"error: The classifier's weights, 0\.0 MiB, cannot be written to .*: No space left on", done.err)
    assert "Make room there, or set SNGAN_HOME to a folder that has it." in done.err
    assert ("epoch 2/2" in done.err) is in_the_end


def test_a_name_that_looks_like_a_flag_or_is_a_plugins_is_refused(sngan: Any) -> None:
    assert "cannot be called '-dash'" in sngan("extractors", "train", *TRAIN, "--", "-dash").err
    done = sngan("extractors", "train", "shapes-cnn", *TRAIN)
    assert (done.code, "There is an installed extractor 'shapes-cnn'" in done.err) == (2, True)


def test_data_that_teach_nothing_are_refused(sngan: Any, home: Path, tmp_path: Path) -> None:
    def trained(place: Path) -> Any:
        return sngan("extractors", "train", "mine", "--dataset", "folder", "--data-dir", place, *TRAIN[4:])

    plain = tmp_path / "plain"
    plain.mkdir()
    Image.new("RGB", (8, 8)).save(plain / "1.png")
    done = trained(plain)
    assert done.code == 1
    assert "The data set 'folder' has no labels" in done.err
    assert "sort the pictures into one folder a class" in done.err
    done = trained(pictures(tmp_path / "single", a=1, b=1))
    assert (done.code, "No class of the data set 'folder' has two pictures" in done.err) == (1, True)
    assert leftovers(home) == []


def test_a_single_class_is_refused(sngan: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DrawnShapes, "class_names", ("only",))
    done = sngan("extractors", "train", "mine", *TRAIN)
    assert (done.code, "'shapes' has 1 class, and a classifier needs two" in done.err) == (1, True)
    assert leftovers(home) == []


def test_a_class_of_one_picture_is_trained_on_and_named(sngan: Any, home: Path, tmp_path: Path) -> None:
    place = pictures(tmp_path / "own", ant=6, bee=6, rare=1)
    done = sngan("extractors", "train", "mine", "--dataset", "folder", "--data-dir", place, *TRAIN[4:])
    assert done.code == 0, done.err
    assert "Classes of a single picture" in done.err
    assert "accuracy: rare." in done.err
    manifest = trained_extractors.read("mine")
    assert (manifest.images, manifest.held_out, manifest.class_names) == (11, 2, ("ant", "bee", "rare"))
    assert manifest.data_dir == str(place)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--extractor", "shapes-cnn"], "'shapes-cnn' cannot be trained"),
        (["--set", "loss.margin=2"], "--set loss: only options of the data set and the extractor can be set here"),
        (["--cutout", "8"], "--cutout 8 would hide pictures of 8 pixels whole: give less, such as 2"),
        (["--set", "extractor.widht=2"], "Did you mean 'width'"),
        (["--set", "extractor.weights=foo"], "--set extractor.weights: this is what training makes; leave it out."),
        (["--set", "extractor.trained=foo"], "--set extractor.trained: this is what training makes; leave it out."),
        (["--set", "extractor.sha256=foo"], "--set extractor.sha256: this is what training makes; leave it out."),
        (["--width", "5"], "extractor.width = 5 cannot be used"),
        (["--size", "4"], "needs pictures of 8 pixels at least, not 4"),
        (["--data-dir", "."], "is not read from files: leave --data-dir out"),
        (["--device", "tpu"], "There is no device 'tpu'"),
    ],
)
def test_wrong_usage_is_explained_and_leaves_nothing(sngan: Any, home: Path, arguments: list[str], said: str) -> None:
    widthless = [*TRAIN[:6], *TRAIN[8:]] if "--extractor" in arguments else TRAIN
    done = sngan("extractors", "train", "mine", *widthless, *arguments)
    assert (done.code, said in done.err) == (2, True), done.err
    assert leftovers(home) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_ends_it_with_its_code_and_leaves_nothing(
    home: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "sngan_cli", "extractors", "train", "mine", *TRAIN, "--epochs", "10000"]
    said = tmp_path / "said"
    with said.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        deadline = time.monotonic() + 60
        while "10000 epochs" not in said.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        unfinished = leftovers(home)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()  # nothing where it has ended, as it should
        process.communicate()
    assert [p.suffix for p in unfinished] == [".partial"]
    assert (process.returncode, out) == (code, "")
    assert "Nothing is kept of an extractor that is not trained to its end: start it again." in said.read_text()
    assert leftovers(home) == []


def test_a_device_without_enough_memory_is_said_with_the_way_out(
    sngan: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(classifier, "augmented", full)
    done = sngan("extractors", "train", "mine", *TRAIN)
    assert done.code == 1
    assert "ran out of memory while the classifier trains: lower --batch-size, or try --precision bf16." in done.err
    assert leftovers(home) == []


def test_a_full_disk_while_the_old_one_is_replaced_leaves_that_in_its_place(
    sngan: Any, home: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (mine / "weights.safetensors").read_bytes()
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    done = sngan("extractors", "train", "mine", *TRAIN, "--replace")
    assert (done.code, "No space left on device" in done.err) == (2, True)
    assert (mine / "weights.safetensors").read_bytes() == before
    assert leftovers(home) == [mine]


def test_an_extractor_is_on_the_disk_before_it_is_in_its_place_and_its_place_after_that(
    home: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[Path, bool]] = []
    place = home / "extractors" / "other"
    monkeypatch.setattr(trained_extractors, "flush", lambda path: flushed.append((path, place.exists())))
    manifest = replace(trained_extractors.read("mine"), name="other")
    with trained_extractors.new_folder("other") as partial:
        shutil.copy(mine / "weights.safetensors", partial)
        assert trained_extractors.publish(partial, manifest, replace=False) == (manifest, None)
    files = (partial / "weights.safetensors", partial / "manifest.json", partial)
    assert flushed == [*((path, False) for path in files), (home / "extractors", True)]
    assert trained_extractors.read("other") == manifest


def test_the_accuracy_is_that_of_a_run_of_its_own(mine: Path) -> None:
    """The weights on disk classify held-out pictures as the manifest says."""
    manifest = trained_extractors.read("mine")
    name, options = trained_extractors.resolve("mine", Catalog.installed())
    extractor = Catalog.installed().make("extractor", name, options)
    assert isinstance(extractor, Extractor)
    data = prepare(Shapes(images=120).open(None, Path()), 8, mine.parents[1] / "again")
    assert data.data_sha256 == manifest.data_sha256
    held = split(data.labels, 0.1, 0).held_out
    images = torch.from_numpy(np.ascontiguousarray(data.images[held])).permute(0, 3, 1, 2)
    found = extractor.load("cpu", Path())(images).logits.argmax(1).numpy()
    assert (found == data.labels[held]).mean() == pytest.approx(manifest.accuracy)


def test_accuracy_is_refused_where_the_classes_are_others(
    sngan: Any, tiny: list[str], mine: Path, tmp_path: Path
) -> None:
    pictures = Shapes(images=20, seed=1).open(None, tmp_path)
    for k in range(20):
        pixels, label = pictures.read(k, 8)
        place = tmp_path / "data" / f"kind {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels)).save(place / f"{k}.png")
    command = ["train", *tiny, "--conditional", "--steps", 1, "--set", "metrics.accuracy={}", "--extractor", "mine"]
    assert sngan(*command).code == 0
    other = ["folder" if word == "shapes" else word for word in command if word not in ("dataset.images=20",)]
    other.remove("--set")
    refused = sngan(*other, "--data-dir", tmp_path / "data")
    assert refused.code == 2, refused.err
    assert "needs an extractor of the images' own classes, kind 0, kind 1, kind 2, kind 3, ..." in refused.err
    assert "this one tells 10 apart, disc, ring, square, triangle, ..." in refused.err
