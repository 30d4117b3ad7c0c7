"""Trained extractors in the registry: what it knows of those here, elsewhere and gone, and what it does not know."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import trained_extractors
from sngan_registry import ExtractorRecord, RegistryError, Store
from sngan_registry.apart import Extractors

TRAIN = [
    "--dataset", "shapes", "--set", "dataset.images=40", "--size", "8", "--width", "4", "--epochs", "1",
    "--batch-size", "16", "--device", "cpu",
]  # fmt: skip


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry that several homes share."""
    place = tmp_path / "team.db"
    monkeypatch.setenv("SNGAN_REGISTRY", str(place))
    return place


@pytest.fixture
def mine(sngan: Any, home: Path, team: Path) -> Path:
    """Folder of the trained extractor `mine`."""
    done = sngan("extractors", "train", "mine", *TRAIN)
    assert done.code == 0, done.err
    return home / "extractors" / "mine"


def recorded(team: Path) -> tuple[ExtractorRecord, ...]:
    with Store.open(team, create=False) as store:
        return store.extractors.all()


def sha256(folder: Path) -> str:
    """That of an extractor's weights, as its manifest has it."""
    return str(json.loads((folder / "manifest.json").read_text())["weights_sha256"])


def state_of(sngan: Any, name: str) -> tuple[str, str | None]:
    """State and remark of an extractor, which the list's JSON has once."""
    (row,) = [row for row in sngan("extractors", "list", "--json").json if row["name"] == name]
    return row["state"], row["remark"]


@pytest.fixture
def other_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a colleague, to be switched to; `mine` has been trained in the other by then."""
    return tmp_path / "colleague"


def test_training_records_the_manifest_and_the_place(sngan: Any, mine: Path, team: Path) -> None:
    (record,) = recorded(team)
    manifest = json.loads((mine / "manifest.json").read_text())
    assert manifest["weights_size"] == (mine / "weights.safetensors").stat().st_size
    assert {"format": 1, **record.manifest} == manifest
    assert (record.name, record.weights_sha256) == ("mine", manifest["weights_sha256"])
    assert (record.host, record.path, record.removed) == (socket.gethostname(), str(mine), None)
    assert record.created.isoformat(timespec="seconds") == manifest["created"]
    assert state_of(sngan, "mine") == ("here", None)
    shown = sngan("extractors", "show", "mine", "--json").json
    assert (shown["state"], shown["recorded"]["path"], shown["removed"]) == ("here", str(mine), [])


def test_replace_and_rm_mark_the_old_one_removed(sngan: Any, mine: Path, team: Path) -> None:
    assert sngan("extractors", "train", "mine", *TRAIN, "--replace", "--seed", 5).code == 0
    old, new = sorted(recorded(team), key=lambda record: record.removed is None)
    assert old.removed is not None
    assert old.weights_sha256 != new.weights_sha256 == trained_extractors.read("mine").weights_sha256
    (removed,) = sngan("extractors", "show", "mine", "--json").json["removed"]
    assert removed["weights_sha256"] == old.weights_sha256
    told = sngan("extractors", "show", "mine").out.partition("\nremoved\n")[2]
    assert re.match(rf"  name +mine\n  weights sha256 +{old.weights_sha256}\n", told)
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    assert all(record.removed for record in recorded(team))
    assert "mine" not in sngan("extractors", "list").out


def test_the_same_training_again_is_there_again(sngan: Any, mine: Path, team: Path) -> None:
    assert sngan("extractors", "train", "mine", *TRAIN, "--replace").code == 0
    (record,) = recorded(team)
    assert record.removed is None


def test_one_of_another_host_is_listed_and_used_once_it_is_copied(
    sngan: Any, tiny: list[str], mine: Path, team: Path, other_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = socket.gethostname()
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    monkeypatch.setenv("SNGAN_HOME", str(other_home))
    state, remark = state_of(sngan, "mine")
    assert state == "elsewhere"
    assert f"lies on {host} in {mine}: to use it here, copy that folder to {other_home / 'extractors'}." in str(remark)
    listed = sngan("extractors", "list")
    assert listed.err == f"{remark}\n"
    shown = sngan("extractors", "show", "mine")
    assert (shown.code, shown.err) == (0, f"{remark}\n")
    assert re.search(rf"^  path +{re.escape(str(mine))}$", shown.out, re.MULTILINE)
    refused = sngan("extractors", "rm", "mine", "--yes")
    assert (refused.code, refused.err) == (2, f"error: {remark} Remove it there.\n")
    shutil.copytree(mine, other_home / "extractors" / "mine")
    assert state_of(sngan, "mine") == ("here", None)
    assert sngan("train", *tiny, "--steps", 1, "--extractor", "mine", "--dry-run").code == 0
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    assert [record.removed for record in recorded(team)] == [None]
    assert state_of(sngan, "mine")[0] == "elsewhere"


def test_a_copy_in_another_home_of_this_host_goes_without_the_original(
    sngan: Any, mine: Path, team: Path, other_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNGAN_HOME", str(other_home))
    assert state_of(sngan, "mine")[0] == "elsewhere"
    shutil.copytree(mine, other_home / "extractors" / "mine")
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    assert [record.removed for record in recorded(team)] == [None]


def test_a_name_that_is_taken_here_is_copied_under_another(
    sngan: Any, mine: Path, team: Path, other_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNGAN_HOME", str(other_home))
    assert sngan("extractors", "train", "mine", *TRAIN, "--seed", 4).code == 0
    rows = [row for row in sngan("extractors", "list", "--json").json if row["name"] == "mine"]
    assert sorted(row["state"] for row in rows) == ["elsewhere", "here"]
    (remark,) = [row["remark"] for row in rows if row["remark"]]
    assert remark.endswith(f"to {other_home / 'extractors'} under another name than 'mine'.")
    assert sngan("extractors", "show", "mine", "--json").json["path"] == str(other_home / "extractors" / "mine")


def test_a_folder_that_is_gone_is_told_of_until_it_is_removed(sngan: Any, mine: Path, team: Path) -> None:
    shutil.rmtree(mine)
    state, remark = state_of(sngan, "mine")
    assert state == "gone"
    assert f"The folder {mine} of the extractor 'mine'" in str(remark)
    assert "`sngan extractors rm mine`" in str(remark)
    assert sngan("extractors", "rm", "mine").code == 2
    done = sngan("extractors", "rm", "mine", "--yes")
    assert (done.code, done.out) == (0, "")
    assert "'mine' is gone: it is no longer listed." in done.err
    assert sngan("extractors", "rm", "mine", "--yes").code == 3
    assert [record.removed is None for record in recorded(team)] == [False]


def test_what_was_removed_is_restored_just_as_it_was(
    sngan: Any, tiny: list[str], mine: Path, team: Path, home: Path
) -> None:
    before, files = recorded(team), {path.name: path.read_bytes() for path in mine.iterdir()}
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    assert sngan("train", *tiny, "--steps", 1, "--extractor", "mine", "--dry-run").code == 3
    done = sngan("extractors", "restore", "mine")
    assert (done.code, done.out, done.err) == (0, f"{mine}\n", "")
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == files
    assert list((home / "trash").iterdir()) == []
    assert (recorded(team), state_of(sngan, "mine")) == (before, ("here", None))
    assert sngan("train", *tiny, "--steps", 1, "--extractor", "mine", "--dry-run").code == 0
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    none = sngan("extractors", "restore", "mime")
    assert (none.code, none.err) == (3, "error: There is no extractor 'mime' in the trash. Did you mean 'mine'?\n")
    assert sngan("extractors", "restore", "mine").code == 0
    none = sngan("extractors", "restore", "mine")
    assert (none.code, none.err) == (3, "error: There is no extractor 'mine' in the trash, nor any other.\n")
    assert sngan("extractors", "restore", "shapes-cnn").code == 2


def test_of_several_in_the_trash_the_last_is_restored(sngan: Any, mine: Path, team: Path, home: Path) -> None:
    assert sngan("extractors", "train", "mine", *TRAIN, "--replace", "--seed", 5).code == 0
    (first,) = (home / "trash").iterdir()
    last = trained_extractors.read("mine").weights_sha256
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    done = sngan("extractors", "restore", "mine")
    assert (done.code, done.out) == (0, f"{mine}\n")
    stays = f"{first} (weights {sha256(first)[:8]})"
    assert done.err == f"Of 2 extractors 'mine' in the trash it went there last. Still there: {stays}.\n"
    assert trained_extractors.read("mine").weights_sha256 == last
    assert {record.weights_sha256: record.removed is None for record in recorded(team)}[last] is True
    assert state_of(sngan, "mine") == ("here", None)


def test_one_that_was_replaced_comes_back_by_its_weights_and_another_name(
    sngan: Any, mine: Path, team: Path, home: Path
) -> None:
    old = sha256(mine)
    assert sngan("extractors", "train", "mine", *TRAIN, "--replace", "--seed", 5).code == 0
    taken = sngan("extractors", "restore", "mine", "--weights", old[:6])
    assert (taken.code, taken.out) == (2, "")
    assert f"There is an extractor 'mine' already, in {mine}: give another name with --as, or remove it" in taken.err
    assert sngan("extractors", "restore", "mine", "--as", "a/b").code == 2
    assert sngan("extractors", "restore", "mine", "--as", "shapes-cnn").code == 2
    new = sha256(mine)
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    none = sngan("extractors", "restore", "mine", "--weights", "xyz")
    assert (none.code, none.err) == (
        3,
        f"error: No extractor 'mine' in the trash has weights 'xyz': those there have {old[:8]}, {new[:8]}.\n",
    )
    done = sngan("extractors", "restore", "mine", "--weights", old[:6].upper(), "--as", "older")
    assert (done.code, done.out, done.err) == (0, f"{mine.with_name('older')}\n", "")
    assert (sha256(mine.with_name("older")), state_of(sngan, "older")) == (old, ("here", None))
    assert sngan("extractors", "restore", "mine").code == 0
    assert (sha256(mine), state_of(sngan, "mine")) == (new, ("here", None))


def test_a_run_whose_extractor_was_replaced_or_removed_says_how_to_get_it_back(
    sngan: Any, tiny: list[str], mine: Path, home: Path
) -> None:
    run_id, old = sngan("train", *tiny, "--steps", 1, "--extractor", "mine").out.strip(), sha256(mine)
    resume, score = ("train", "--resume", run_id, "--steps", 2), ("evaluate", run_id, "--device", "cpu")
    assert sngan("extractors", "train", "mine", *TRAIN, "--replace", "--seed", 5).code == 0
    (place,) = (home / "trash").iterdir()
    for command in (resume, score):
        refused = sngan(*command)
        assert (refused.code, refused.err.splitlines()[-1]) == (
            1,
            f"error: The extractor 'mine' with the weights {old[:8]} was replaced by another and lies in {place}: "
            f"`sngan extractors restore mine --weights {old[:8]} --as mine-{old[:8]}` gets it back.",
        )
    assert sngan("sample", run_id, "-o", home / "sheet.png").code == 0  # this needs no extractor
    assert sngan("extractors", "restore", "mine", "--as", f"mine-{old[:8]}").code == 0
    resumed = sngan(*resume)
    assert resumed.code == 0, resumed.err
    run = sngan("runs", "show", run_id, "--json").json
    assert {score["protocol"].split()[0] for score in run["scores"]} == {f"mine@{old[:8]}"}
    by_name = sngan(*score, "--extractor", f"mine-{old[:8]}", "--json").json
    assert {score["protocol"].split()[0] for score in by_name} == {f"mine@{old[:8]}"}, (
        "the name that it was trained under"
    )
    assert run["config"]["extractor"]["weights"] == str(mine.with_name(f"mine-{old[:8]}") / "weights.safetensors")
    for name in ("mine", f"mine-{old[:8]}"):
        assert sngan("extractors", "rm", name, "--yes").code == 0
    removed = sngan("train", "--resume", run_id, "--steps", 3)
    assert (removed.code, "was removed and lies in " in removed.err) == (1, True)
    assert f"`sngan extractors restore mine-{old[:8]} --weights {old[:8]}` gets it back.\n" in removed.err


def test_one_that_was_removed_is_said_to_be_in_the_trash(sngan: Any, tiny: list[str], mine: Path) -> None:
    run_id = sngan("train", *tiny, "--steps", 1).out.strip()
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    for command in (
        ("extractors", "show", "mine"),
        ("extractors", "rm", "mine", "--yes"),
        ("extractors", "register", "mine"),
        ("evaluate", run_id, "--extractor", "mine"),
        ("train", *tiny, "--extractor", "mine"),
    ):
        done = sngan(*command)
        assert (done.code, done.err.splitlines()[-1]) == (
            3,
            "error: The extractor 'mine' was removed: `sngan extractors restore mine` gets it back.",
        )


def test_a_copy_is_restored_and_the_original_stays_where_it_is_recorded(
    sngan: Any, mine: Path, team: Path, other_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recorded(team)
    monkeypatch.setenv("SNGAN_HOME", str(other_home))
    shutil.copytree(mine, other_home / "extractors" / "mine")
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    assert sngan("extractors", "restore", "mine").code == 0
    assert recorded(team) == before


def test_a_damaged_one_comes_back_as_it_went(sngan: Any, mine: Path, team: Path) -> None:
    (mine / "manifest.json").write_text("{")
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    assert sngan("extractors", "restore", "mine").out == f"{mine}\n"
    assert (mine / "manifest.json").read_text() == "{"
    assert state_of(sngan, "mine")[0] == "damaged"


def test_a_folder_that_was_renamed_is_listed_once_and_can_be_registered(
    sngan: Any, tiny: list[str], mine: Path, team: Path
) -> None:
    moved = mine.rename(mine.with_name("moved"))
    rows = [row for row in sngan("extractors", "list", "--json").json if row["kind"] == "trained"]
    assert [(row["name"], row["state"]) for row in rows] == [("moved", "renamed")]
    said = f"The folder {mine} was renamed: what was an extractor 'mine', and is in runs and scores, is 'moved' now. "
    assert rows[0]["remark"].startswith(said)
    assert f"warning: {said}" in sngan("extractors", "list").err
    assert sngan("extractors", "show", "moved", "--json").json["recorded"]["name"] == "mine"
    assert sngan("train", *tiny, "--steps", 1, "--extractor", "moved", "--dry-run").code == 0
    moved.rename(mine)
    assert state_of(sngan, "mine") == ("here", None)
    mine.rename(moved)
    assert sngan("extractors", "register", "moved").code == 0
    assert state_of(sngan, "moved") == ("here", None)
    assert {record.name: record.removed is None for record in recorded(team)} == {"mine": False, "moved": True}


def test_one_that_was_renamed_can_be_removed(sngan: Any, mine: Path, team: Path) -> None:
    mine.rename(mine.with_name("moved"))
    assert sngan("extractors", "rm", "moved", "--yes").code == 0
    assert [record.removed is None for record in recorded(team)] == [False]
    assert not [row for row in sngan("extractors", "list", "--json").json if row["kind"] == "trained"]


def test_weights_that_have_changed_are_told_of(sngan: Any, mine: Path) -> None:
    path = mine / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content + b"x")
    state, remark = state_of(sngan, "mine")
    assert (state, f"{path} has {len(content) + 1} bytes, not {len(content)}" in str(remark)) == ("changed", True)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert state_of(sngan, "mine") == ("here", None)  # the list looks at the size alone
    shown = sngan("extractors", "show", "mine")
    assert shown.code == sngan("extractors", "show", "mine", "--json").code == 1
    assert re.search("^  state +changed$", shown.out, re.MULTILINE)
    assert f"{path} has the SHA-256 " in shown.err
    refused = sngan("extractors", "register", "mine")
    assert (refused.code, f"{path} has the SHA-256 " in refused.err) == (1, True)
    path.unlink()
    assert f"{path} is gone" in str(state_of(sngan, "mine")[1])


def test_a_damaged_manifest_is_shown_from_the_registry(sngan: Any, mine: Path, team: Path) -> None:
    accuracy = json.loads((mine / "manifest.json").read_text())["accuracy"]
    (mine / "manifest.json").write_text("{")
    assert state_of(sngan, "mine")[0] == "damaged"
    done = sngan("extractors", "show", "mine", "--json")
    shown = done.json
    assert (done.code, shown["state"], shown["accuracy"]) == (1, "damaged", accuracy)
    assert str(mine / "manifest.json") in shown["remark"]
    assert sngan("extractors", "rm", "mine", "--yes").code == 0
    assert all(record.removed for record in recorded(team))


def test_one_of_another_registry_works_and_can_be_registered(
    sngan: Any, tmp_path: Path, tiny: list[str], mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.db"
    monkeypatch.setenv("SNGAN_REGISTRY", str(own))
    state, remark = state_of(sngan, "mine")
    assert state == "unrecorded"
    assert f"The registry {own} does not know the extractor 'mine'" in str(remark)
    assert sngan("extractors", "show", "mine", "--json").json["recorded"] is None
    assert not own.exists()
    assert sngan("train", *tiny, "--steps", 1, "--extractor", "mine", "--dry-run").code == 0
    done = sngan("extractors", "register", "mine")
    assert done.code == 0, done.err
    assert done.out.split("\t")[2] == f"{mine / 'weights.safetensors'}\n"
    assert state_of(sngan, "mine") == ("here", None)
    (record,) = recorded(own)
    assert record.path == str(mine)
    assert sngan("extractors", "register", "nobody").code == 3


def test_a_manifest_of_before_sizes_were_kept_is_read(sngan: Any, mine: Path) -> None:
    manifest = json.loads((mine / "manifest.json").read_text())
    del manifest["weights_size"]
    (mine / "manifest.json").write_text(json.dumps(manifest))
    assert state_of(sngan, "mine") == ("here", None)


def test_a_registry_that_goes_away_while_it_trains_costs_nothing(
    sngan: Any, home: Path, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(Extractors, "add", refuse)
        done = sngan("extractors", "train", "mine", *TRAIN)
    assert done.code == 0
    assert "No connection. The extractor is whole: `sngan extractors register mine` records it." in done.err
    assert recorded(team) == ()
    assert sngan("extractors", "register", "mine").code == 0
    assert len(recorded(team)) == 1


def refuse(*_: object) -> None:
    raise RegistryError("No connection.")


def test_an_installed_extractor_is_shown_as_a_plugin(sngan: Any) -> None:
    shown = sngan("extractors", "show", "inception-v3")
    assert (shown.code, shown.out) == (0, sngan("plugins", "show", "inception-v3").out)
    assert "option " in shown.out
    as_json = sngan("extractors", "show", "inception-v3", "--json").json
    assert as_json == sngan("plugins", "show", "inception-v3", "--kind", "extractor", "--json").json
