"""`sngan registry check`: what is wrong with the database and the files, where, and what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import garbage
from sngan_registry import Checkpoint, Environment, NewRun, Store

EXTRACTOR = [
    "--dataset", "shapes", "--set", "dataset.images=40", "--size", "8", "--width", "4", "--epochs", "1",
    "--batch-size", "16", "--device", "cpu",
]  # fmt: skip


@pytest.fixture
def folder(home: Path, trained: str) -> Path:
    """Folder of a run with checkpoints of steps 2 and 4, two sheets of samples and its configuration."""
    return home / "runs" / trained


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def findings(sngan: Any, *arguments: str) -> list[tuple[str, str, bool]]:
    """What was found, and where; the exit code says whether a fault is among it."""
    done = sngan("registry", "check", "--json", *arguments)
    found = [(each["what"], each["where"], each["is_fault"]) for each in done.json["findings"]]
    assert done.json["is_well"] == (not any(is_fault for _, _, is_fault in found))
    assert done.code == (0 if done.json["is_well"] else 4)
    return found


def test_all_is_well(sngan: Any, folder: Path, home: Path) -> None:
    for flag, how in (([], "their sizes compared (--hashes: their SHA-256)"), (["--hashes"], "their SHA-256 compared")):
        done = sngan("registry", "check", *flag)
        assert done.code == 0
        assert done.out == f"All is well with {home / 'registry.db'}: 1 run, 2 checkpoints, 3 artifacts; {how}.\n"
        assert done.err == ""
    looked_at = sngan("registry", "check", "--json").json["looked_at"]
    assert looked_at == {"runs": 1, "checkpoints": 2, "artifacts": 3, "extractors": 0, "runs elsewhere": 0,
                         "extractors elsewhere": 0}  # fmt: skip


def test_a_dropped_checkpoint_that_lies_there_still_is_told_of_and_deleted(
    sngan: Any, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed had recorded that it is gone, and not deleted it yet."""
    with Store.open(home / "registry.db") as store:
        store.drop_checkpoint(folder.name, 2)
    dropped = folder / "checkpoints" / "step-00000002"
    assert findings(sngan) == [("checkpoint of step 2 was dropped, and lies there still", str(dropped), False)]
    assert sngan("runs", "gc", "--json", "--yes").json["waste"] == []  # it may be about to be deleted
    monkeypatch.setattr(garbage, "LEFT_ALONE", timedelta(0))
    size = sum(path.stat().st_size for path in dropped.iterdir())
    os.utime(dropped, (time.time() + 60, time.time() + 60))  # written again since it was dropped
    assert sngan("runs", "gc", "--json", "--yes").json["waste"] == []
    os.utime(dropped, (0, 0))
    (waste,) = sngan("runs", "gc", "--json", "--yes").json["waste"]
    assert (waste["name"], waste["size"], waste["deleted"]) == (f"{folder.name}/checkpoints/{dropped.name}", size, True)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000004"]
    assert findings(sngan, "--hashes") == []


def test_a_registry_that_is_not_there_is_no_fault_and_not_made(sngan: Any, home: Path) -> None:
    done = sngan("registry", "check")
    there_is_none = f"There is no registry {home / 'registry.db'} yet: what is recorded first makes it.\n"
    assert (done.code, done.out) == (0, there_is_none)
    assert list(home.iterdir()) == []


def test_runs_that_lie_here_without_a_registry_are_told_of_with_its_absence(
    sngan: Any, folder: Path, home: Path
) -> None:
    (home / "registry.db").unlink()
    done = sngan("registry", "check")
    said = "restore a backup, or make it anew: `sngan registry rebuild`"
    assert (done.code, done.err) == (4, f"1 fault. There is no registry {home / 'registry.db'}: {said}.\n")
    assert str(folder) in done.out


def test_files_that_are_gone_or_of_another_size(sngan: Any, folder: Path) -> None:
    shutil.rmtree(folder / "checkpoints" / "step-00000004")
    weights = folder / "checkpoints" / "step-00000002" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    size = weights.stat().st_size
    (folder / "samples" / "step-00000002.png").unlink()
    with (folder / "config.toml").open("a", encoding="utf-8") as file:
        file.write("# a remark\n")
    config = (folder / "config.toml").stat().st_size
    assert findings(sngan) == [
        (f"checkpoint of step 2: it has {size} bytes, written were {size - 1}", str(weights), True),
        ("checkpoint of step 4: the folder is missing", str(folder / "checkpoints" / "step-00000004"), True),
        (f"artifact: it has {config} bytes, recorded were {config - 11}", str(folder / "config.toml"), True),
        ("artifact: the file is missing", str(folder / "samples" / "step-00000002.png"), True),
    ]
    done = sngan("registry", "check")
    assert done.code == 4
    assert done.err.startswith("4 faults. Looked at: 1 run, 2 checkpoints, 3 artifacts; ")
    assert done.out.startswith("what  ")
    assert "put it back from a copy, or let it be: nothing depends on it" in done.out


def test_a_whole_checkpoint_is_proposed_in_place_of_a_broken_one(sngan: Any, folder: Path) -> None:
    (folder / "checkpoints" / "step-00000004" / "manifest.json").write_text("{}", encoding="utf-8")
    assert "put it back from a copy, or use another: --checkpoint 2" in sngan("registry", "check").out


def test_altered_bytes_are_found_by_their_hash_alone(sngan: Any, folder: Path) -> None:
    weights, sheet = folder / "checkpoints/step-00000004/generator.safetensors", folder / "samples/step-00000004.png"
    flip_last_byte(weights)
    flip_last_byte(sheet)
    assert findings(sngan) == []
    (of_weights, place, _), (of_sheet, other, _) = findings(sngan, "--hashes")
    assert of_weights.startswith("checkpoint of step 4: its SHA-256 is ")
    assert of_sheet.startswith("artifact: its SHA-256 is ")
    assert (place, other) == (str(weights), str(sheet))


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("run.json", None, "record: run.json is missing"),
        (
            "run.json",
            "{",
            "record: run.json is damaged (Expecting property name enclosed in double quotes: line 1 column",
        ),
        ("scalars.csv", None, "record: its curves are not there: scalars.csv is missing"),
        ("scalars.csv", "name,step,value\n", "record: its curves are not whole: scalars.csv has 0 of "),
    ],
)
def test_a_record_in_a_folder_that_is_not_sound_is_told_and_written_anew(
    sngan: Any, folder: Path, name: str, text: str | None, what: str
) -> None:
    path = folder / name
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    ((found, where, is_fault),) = findings(sngan)
    assert (found.startswith(what), where, is_fault) == (True, str(folder), True)
    assert (
        f"write what the registry has of it by a label: `sngan runs tag {folder.name} --add TAG`"
        in sngan("registry", "check").out
    )
    assert sngan("runs", "tag", folder.name, "--add", "seen").code == 0
    assert findings(sngan, "--hashes") == []


def test_folders_without_a_record_and_records_without_a_folder(sngan: Any, folder: Path, home: Path) -> None:
    shutil.copytree(folder, home / "runs" / "1m88mm6bzf6")
    (home / "runs" / "1m88mm6bzf7").mkdir()
    (home / "runs" / "notes").mkdir()
    folder.rename(home / "elsewhere")
    assert findings(sngan) == [
        ("run is not recorded", str(home / "runs" / "1m88mm6bzf6"), True),
        ("run is not recorded, and nothing tells what it was", str(home / "runs" / "1m88mm6bzf7"), True),
        ("folder of a run is gone", str(folder), True),
    ]


def test_a_run_in_the_trash_is_looked_at_there(sngan: Any, folder: Path, home: Path) -> None:
    trash = home / "trash" / "runs"
    assert sngan("runs", "rm", folder.name, "--yes").code == 0
    (trash / folder.name / "scalars.csv").unlink()  # only a run that is there is described
    assert findings(sngan) == []
    (trash / folder.name / "config.toml").unlink()
    assert findings(sngan) == [("artifact: the file is missing", str(trash / folder.name / "config.toml"), True)]


def test_runs_of_other_hosts_are_counted(sngan: Any, home: Path) -> None:
    environment = Environment(sngan="0", python="3", torch="2", cuda=None, device="cpu", host="another", pid=1,
                              git_commit=None, command="c")  # fmt: skip
    new = NewRun(config={}, components=(), environment=environment, seed=0, steps=1)
    with Store.open(home / "registry.db") as store:
        run = store.create_run(new)
        store.add_checkpoint(run.id, Checkpoint(step=1, path="checkpoints/step-00000001", size=1, sha256="a" * 64))
        store.create_run(new)  # which has no file that could be missed
    assert findings(sngan) == []
    assert "2 runs, 1 run elsewhere; " in sngan("registry", "check").out


def test_a_run_that_changes_meanwhile_is_looked_at_again(
    sngan: Any, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint of step 2 is removed between what the registry and what the disk is asked."""
    files = Store.files

    def then_removed(store: Store) -> object:
        found = files(store)
        if (old := folder / "checkpoints" / "step-00000002").exists():
            shutil.rmtree(old)
            store.drop_checkpoint(folder.name, 2)
            (folder / "samples" / "step-00000002.png").unlink()
        return found

    monkeypatch.setattr(Store, "files", then_removed)
    assert [what for what, _, _ in findings(sngan)] == ["artifact: the file is missing"]


def test_extractors_that_are_gone_or_altered_or_not_recorded(sngan: Any, home: Path) -> None:
    for seed, name in enumerate(("gone", "changed", "altered", "unknown")):
        assert sngan("extractors", "train", name, *EXTRACTOR, "--seed", seed).code == 0
    place = home / "extractors"
    shutil.rmtree(place / "gone")
    with (place / "changed" / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    flip_last_byte(place / "altered" / "weights.safetensors")
    with closing(sqlite3.connect(home / "registry.db")) as connection, connection:
        connection.execute("DELETE FROM extractors WHERE name = 'unknown'")
    changed = [
        ("extractor changed", str(place / "changed"), True),
        ("extractor gone", str(place / "gone"), True),
    ]
    unknown = ("extractor unrecorded", str(place / "unknown"), False)
    assert findings(sngan) == [*changed, unknown]
    assert findings(sngan, "--hashes") == [("extractor changed", str(place / "altered"), True), *changed, unknown]


def test_backups_that_lie_about_are_told_and_are_no_fault(sngan: Any, folder: Path, home: Path) -> None:
    backup = sngan("registry", "backup").out.strip()
    size = Path(backup).stat().st_size / 2**10
    assert findings(sngan) == [(f"backup of {size:.1f} KiB", backup, False)]
    done = sngan("registry", "check")
    assert (done.code, "All is well with " in done.out) == (0, True)
    assert done.out.endswith("SHA-256). What is listed is worth knowing, and no fault.\n")


def test_a_damaged_database_comes_before_the_files(sngan: Any, folder: Path, home: Path) -> None:
    with closing(sqlite3.connect(home / "registry.db")) as connection, connection:
        connection.execute("UPDATE scores SET evidence = '{' WHERE step = 4")
    shutil.rmtree(folder)
    done = sngan("registry", "check")
    assert done.code == 4
    _, line = done.out.splitlines()
    assert line.startswith("database: unreadable (Expecting property name")
    assert f"scores {folder.name}, is, " in line
    assert line.endswith("restore a backup, or make it anew: `sngan registry rebuild`")
    assert done.err == "Files were not looked at: the database comes first.\n"


def test_a_file_that_is_no_database(sngan: Any, home: Path) -> None:
    (home / "registry.db").write_text("no database at all", encoding="utf-8")
    assert findings(sngan) == [("database: file is not a database", str(home / "registry.db"), True)]
    done = sngan("runs", "list")
    assert done.code == 4
    assert "`sngan registry rebuild` makes it anew" in done.err
