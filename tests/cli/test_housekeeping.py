"""`sngan runs rm | restore | gc`: what is removed can be had back until it is deleted, and nothing else is touched."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import garbage, run_trash
from sngan_cli.stopping import StopAtOnceError
from sngan_registry import Environment, NewRun, RunNotRemovedError, Score, Status, Store

HERE = socket.gethostname()


def environment(host: str = HERE, pid: int | None = None) -> Environment:
    return Environment(
        sngan="0", python="3", torch="2", cuda=None, device="cpu", host=host, pid=pid or os.getpid(), git_commit=None,
        command="sngan train",
    )  # fmt: skip


END_OF_INPUT = b"\x04"
"""What Ctrl-D sends from a terminal."""


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store.open(home / "registry.db") as opened:
        yield opened


def add_run(store: Store, home: Path, name: str, *, host: str = HERE, running: bool = False, size: int = 1000) -> str:
    """A run with a score, whose folder (here, unless `host` is another) holds a file of so many bytes."""
    new = NewRun(config={"n_dis": 1}, components=(), environment=environment(host), seed=0, steps=9, name=name)
    run_id = store.create_run(new).id
    store.claim(run_id, environment(host))
    store.add_score(
        run_id, Score(metric="is", step=1, value=2.0, std=None, higher_is_better=True, protocol="n=1", evidence={})
    )
    if not running:
        store.close(run_id, Status.FINISHED, step=9)
    if host == HERE:
        (home / "runs" / run_id / "checkpoints").mkdir(parents=True)
        (home / "runs" / run_id / "checkpoints" / "weights").write_bytes(b"w" * size)
    return run_id


def dump(home: Path) -> list[str]:
    """All that the registry holds."""
    with closing(sqlite3.connect(home / "registry.db")) as database:
        return list(database.iterdump())


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_removed_run_is_in_the_trash_and_comes_back_as_it_was(sngan: Any, home: Path, trained: str) -> None:
    folder, trash = home / "runs" / trained, home / "trash" / "runs" / trained
    before = (dump(home), tree(folder))
    removed = sngan("runs", "rm", "tiny", "--yes")
    assert (removed.code, removed.out) == (0, f"{trash}\n")
    assert (folder.exists(), tree(trash)) == (False, before[1])
    assert sngan("runs", "list", "--json").json == []
    assert sngan("scores", "list", "--json").json == []
    for command in (["runs", "show", "tiny"], ["train", "--resume", trained], ["train", "--like", "tiny"],
                    ["runs", "tag", "tiny", "--add", "t"], ["runs", "rm", "tiny", "--yes"]):  # fmt: skip
        done = sngan(*command)
        assert done.code == 3
        assert f"is in the trash: `sngan runs restore {trained}` gets it back." in done.err
    restored = sngan("runs", "restore", trained[:-1])
    assert (restored.code, restored.out, trash.exists()) == (0, f"{folder}\n", False)
    assert (dump(home), tree(folder)) == before
    assert sngan("sample", trained, "-n", 10, "-o", home / "sheet.png").code == 0
    again = sngan("runs", "restore", trained)
    assert (again.code, f"There is no run {trained!r} in the trash." in again.err) == (3, True)


def test_removing_asks_first(sngan: Any, home: Path, store: Store) -> None:
    run_id = add_run(store, home, "one")
    before = dump(home)
    refused = sngan("runs", "rm", "one")
    assert refused.code == 2
    assert f"Removing run {run_id} (one) needs --yes where nobody can be asked." in refused.err
    for answer, code, is_there in ((b"n\n", 1, True), (END_OF_INPUT, 1, True), (b"y\n", 0, False)):
        terminal, program_end = os.openpty()
        os.write(terminal, answer)
        command = [sys.executable, "-m", "sngan_cli", "runs", "rm", "one"]
        done = subprocess.run(command, stdin=program_end, capture_output=True, text=True, check=False)
        os.close(program_end)
        os.close(terminal)
        assert f"Move run {run_id} (one) to the trash? [y/N]" in done.stderr
        assert (done.returncode, (home / "runs" / run_id).exists()) == (code, is_there)
        assert (dump(home) == before) == is_there
        assert done.stderr.endswith("Nothing was done.\n") == is_there


def test_several_are_removed_or_none_is(sngan: Any, home: Path, store: Store) -> None:
    one, other = add_run(store, home, "one"), add_run(store, home, "other")
    busy = add_run(store, home, "busy", running=True)
    before = (dump(home), tree(home / "runs"))
    for last, code, said in (("nobody", 3, "There is no run 'nobody'"), ("busy", 1, f"Run {busy} is being trained")):
        refused = sngan("runs", "rm", "one", "other", last, "--yes")
        assert refused.code == code
        assert said in refused.err
        assert (dump(home), tree(home / "runs")) == before
    assert "stop that process, or wait for it to end" in refused.err
    assert f"Removing 2 runs: {one} (one), {other} (other) needs" in sngan("runs", "rm", "one", other, "one").err
    trash = home / "trash" / "runs"
    assert sngan("runs", "rm", "one", other, "one", "--yes").out == f"{trash / one}\n{trash / other}\n"
    assert sngan("runs", "restore", "one", "busy").code == 3
    assert sngan("runs", "list", "--json", "--columns", "id").json[0]["id"] == busy
    assert sngan("runs", "restore", "one", "other").code == 0
    assert (dump(home), tree(home / "runs")) == before


def test_what_is_interrupted_loses_nothing_and_can_be_given_again(
    sngan: Any, home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_run(store, home, "one")
    folder, trash = home / "runs" / run_id, home / "trash" / "runs" / run_id
    before, files, move = dump(home), tree(folder), run_trash.move

    def killed(source: Path, target: Path) -> None:
        raise StopAtOnceError

    def moved_and_killed(source: Path, target: Path) -> None:
        move(source, target)
        raise StopAtOnceError

    def interrupted(*command: str, by: Any) -> None:
        monkeypatch.setattr(run_trash, "move", by)
        assert sngan("runs", *command, "one").code == 130
        monkeypatch.setattr(run_trash, "move", move)
        assert sngan("runs", "list", "--json").json == []

    interrupted("rm", "--yes", by=killed)
    assert tree(folder) == files
    assert sngan("runs", "rm", "one", "--yes").out == f"{trash}\n"
    interrupted("restore", by=moved_and_killed)
    assert tree(folder) == files
    assert sngan("runs", "restore", "one").out == f"{folder}\n"
    interrupted("rm", "--yes", by=moved_and_killed)
    interrupted("restore", by=killed)
    assert tree(trash) == files
    assert sngan("runs", "restore", "one").out == f"{folder}\n"
    interrupted("rm", "--yes", by=killed)
    assert sngan("runs", "restore", "one").out == f"{folder}\n"
    assert (dump(home), tree(folder)) == (before, files)


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.ENOTEMPTY, "move {trash} out of the way first"),
        (errno.EXDEV, "make {trash.parent} a link to a folder on the disk of {folder}"),
        (errno.EACCES, "check that you may write both folders"),
    ],
)
def test_a_run_whose_folder_cannot_be_moved_stays(
    sngan: Any, home: Path, store: Store, monkeypatch: pytest.MonkeyPatch, number: int, way_out: str
) -> None:
    run_id = add_run(store, home, "one")
    folder, trash = home / "runs" / run_id, home / "trash" / "runs" / run_id
    before = (dump(home), tree(folder))

    def fail(path: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fail)
        done = sngan("runs", "rm", "one", "--yes")
    said = f"error: The folder {folder} cannot be moved to {trash}: {os.strerror(number)}; "
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(said)
    assert way_out.format(folder=folder, trash=trash) in done.err
    assert (dump(home), tree(folder)) == before


def test_a_run_whose_folder_cannot_be_looked_at_stays(
    sngan: Any, home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_run(store, home, "one")
    folder, before = home / "runs" / run_id, dump(home)
    exists = Path.exists

    def refuse(path: Path) -> bool:
        if path == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return exists(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", refuse)
        done = sngan("runs", "rm", "one", "--yes")
    assert (done.code, done.err) == (1, f"error: Permission denied: {folder}\n")
    assert dump(home) == before


def test_a_run_that_another_process_restores_before_its_folder_is_moved_stays_whole(
    home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_run(store, home, "one")
    before, put = (dump(home), tree(home / "runs")), store.trash.put

    def put_and_restored(run_id: str) -> None:
        put(run_id)
        with store.trash.restoring(run_id):
            pass

    monkeypatch.setattr(store.trash, "put", put_and_restored)
    with pytest.raises(RunNotRemovedError):
        run_trash.remove(store, run_id)
    assert (dump(home), tree(home / "runs")) == before


def test_a_folder_that_took_a_removed_ones_place_is_not_overwritten(sngan: Any, home: Path, store: Store) -> None:
    run_id = add_run(store, home, "one")
    folder, trash = home / "runs" / run_id, home / "trash" / "runs" / run_id
    assert sngan("runs", "rm", "one", "--yes").code == 0
    shutil.copytree(trash, folder)
    done = sngan("runs", "restore", "one")
    assert (done.code, f"move {folder} out of the way first" in done.err) == (1, True)
    assert sngan("runs", "rm", "one", "--yes").code == 3
    assert store.trash.get("one").id == run_id
    shutil.rmtree(folder)
    assert sngan("runs", "restore", "one").code == 0


def test_a_run_without_a_folder_is_removed_too(sngan: Any, home: Path, store: Store) -> None:
    run_id = add_run(store, home, "afar", host="elsewhere")
    removed = sngan("runs", "rm", "afar", "--yes")
    assert (removed.code, removed.out) == (0, "")
    assert removed.err == f"There is no folder of run {run_id} (afar) here: only its record is in the trash.\n"
    kept = sngan("runs", "gc", "--yes")
    assert f"The files of the removed run {run_id} (afar) lie on elsewhere" in kept.err
    restored = sngan("runs", "restore", "afar")
    assert restored.err == f"There is no folder of run {run_id} (afar) here: only its record is back.\n"
    assert store.get("afar").removed is None


# Deleting for good


def age(path: Path, minutes: float) -> None:
    for each in (path, *path.rglob("*")):
        past = each.stat().st_mtime - 60 * minutes
        os.utime(each, (past, past))


def test_gc_empties_the_trash_and_says_how_much_room_it_makes(
    sngan: Any, home: Path, store: Store, trained: str
) -> None:
    gone = add_run(store, home, "gone", size=1234)
    extractor = home / "trash" / "extractor-my-own-20260102T030405000006"
    extractor.mkdir(parents=True)
    (extractor / "weights.safetensors").write_bytes(b"w" * 500)
    other = home / "trash" / "extractor-of the user"
    other.mkdir()
    assert sngan("runs", "rm", "gone", "--yes").code == 0
    kept = (tree(home / "runs"), [line for line in dump(home) if gone not in line])
    shown = sngan("runs", "gc", "--dry-run")
    assert [line.split() for line in shown.out.splitlines()] == [
        ["kind", "what", "name", "age", "size"],
        ["run", gone, "gone", "0s", "1.2", "KiB"],
        ["extractor", "my-own", *shown.out.splitlines()[2].split()[2:3], "500", "bytes"],
    ]
    assert shown.err == "`sngan runs gc` makes room for 1.7 KiB (1,734 bytes).\n"
    refused = sngan("runs", "gc")
    assert (refused.code, "Deleting 1.7 KiB (1,734 bytes) for good needs --yes" in refused.err) == (2, True)
    assert store.trash.get("gone").id == gone
    assert sorted(path.name for path in (home / "trash").iterdir()) == [extractor.name, other.name, "runs"]
    done = sngan("runs", "gc", "--yes")
    assert (done.code, done.err) == (0, "Made room for 1.7 KiB (1,734 bytes).\n")
    assert sorted(path.name for path in (home / "trash").iterdir()) == [other.name, "runs"]
    assert list((home / "trash" / "runs").iterdir()) == []
    assert (tree(home / "runs"), dump(home)) == kept
    again = sngan("runs", "gc")
    assert (again.code, again.out, again.err) == (0, "", "There is nothing to delete.\n")


def test_gc_deletes_what_is_cached_and_not_used_where_it_is_asked_to(
    sngan: Any, home: Path, store: Store, trained: str
) -> None:
    score = ("evaluate", trained, "--metric", "fid", "--protocol", "quick", "--device", "cpu")
    value = sngan(*score, "--json").json[0]["value"]
    cached = [path for kind in ("pictures", "features") for path in (home / "cache" / kind).iterdir()]
    others = (home / "cache" / "downloads" / "data.zip", home / "cache" / "weights" / "extractor.pth")
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"w")

    def found(*more: object) -> list[str]:
        waste = sngan("runs", "gc", "--cache", "--dry-run", "--json", *more).json["waste"]
        assert sngan("runs", "gc", "--dry-run", "--json").json["waste"] == []
        return [each["name"] for each in waste]

    names = [path.stem for path in cached]
    assert (len(names), found()) == (2, [])  # which were used just now
    assert "What of the cache was used in the last ten minutes" in sngan("runs", "gc", "--cache", "--yes").err
    for path in cached:
        age(path, 60 * 48)
    assert (found(), found("--older-than", 1), found("--older-than", 3)) == (names, names, [])
    said = sngan("runs", "gc", "--cache", "--dry-run", "--older-than", 1.5).err
    assert said.startswith("`sngan runs gc --cache --older-than 1.5` makes room for ")
    busy = add_run(store, home, "busy", running=True)
    assert found() == names
    age(cached[0], -60 * 40)  # used before the run that is being trained was begun, and maybe for it
    assert found() == names[1:]
    store.close(busy, Status.FINISHED, step=9)
    waste = garbage.survey(store, timedelta(0), cached=True).waste
    assert sngan(*score).code == 0
    assert [garbage.delete(store, each) for each in waste] == [False, False]  # they were used meanwhile
    for path in cached:
        age(path, 60)
    done = sngan("runs", "gc", "--cache", "--yes")
    assert (done.code, [line.split()[:2] for line in done.out.splitlines()[1:]]) == (
        0,
        [["pictures", names[0]], ["features", names[1]]],
    )
    assert [path for kind in ("pictures", "features") for path in (home / "cache" / kind).iterdir()] == []
    assert all(path.exists() for path in others)
    assert sngan(*score, "--json").json[0]["value"] == value


def test_gc_leaves_what_is_younger(sngan: Any, home: Path, store: Store) -> None:
    old, young = add_run(store, home, "old"), add_run(store, home, "young")
    assert sngan("runs", "rm", "old", "young", "--yes").code == 0
    with closing(sqlite3.connect(home / "registry.db")) as database:
        database.execute("UPDATE runs SET removed = datetime(removed, '-3 days') WHERE id = ?", (old,))
        database.commit()
    assert [w["name"] for w in sngan("runs", "gc", "--dry-run", "--json", "--older-than", 4).json["waste"]] == []
    done = sngan("runs", "gc", "--json", "--yes", "--older-than", 2.5).json
    assert [(waste["kind"], waste["name"], waste["deleted"]) for waste in done["waste"]] == [("run", old, True)]
    assert [run.id for run in store.trash.runs()] == [young]
    assert [path.name for path in (home / "trash" / "runs").iterdir()] == [young]


def test_gc_deletes_leftovers_of_runs_that_nobody_trains(sngan: Any, home: Path, store: Store) -> None:
    ended, busy = add_run(store, home, "ended"), add_run(store, home, "busy", running=True)
    leftovers = (".run.json.7", "checkpoints/.step-00000003.7.partial", "checkpoints/.step-00000001.removed",
                 "samples/.step-00000003.7.png")  # fmt: skip
    whole = ("run.json", "checkpoints/step-00000002/manifest.json", "samples/step-00000002.png")
    for run_id in (ended, busy):
        folder = home / "runs" / run_id
        for name in (*leftovers, *whole):
            path = folder / name / "file" if name.endswith((".partial", ".removed")) else folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"12345")
    fresh = home / "runs" / ended / ".run.json.8"
    age(home / "runs", 11)
    fresh.write_bytes(b"1")
    (home / "runs" / ended / leftovers[1] / "file").touch()
    assert len(sngan("runs", "gc", "--dry-run", "--json").json["waste"]) == 3
    age(home / "runs" / ended / leftovers[1], 11)
    assert sngan("runs", "gc", "--dry-run", "--json", "--older-than", 1).json["waste"] == []
    before = tree(home / "runs")
    done = sngan("runs", "gc", "--yes", "--json").json
    assert sorted(waste["name"] for waste in done["waste"]) == sorted(f"{ended}/{name}" for name in leftovers)
    assert {waste["kind"] for waste in done["waste"]} == {"leftover"}
    assert done["size"] == 5 * len(leftovers)
    after = tree(home / "runs")
    assert fresh.exists()
    gone = {f"{ended}/{name}" for name in leftovers}
    assert after == {name: v for name, v in before.items() if not any(name.startswith(each) for each in gone)}
    assert len(before) - len(after) == len(leftovers)


def test_gc_deletes_copies_of_the_registry_that_were_not_ended(sngan: Any, home: Path, store: Store) -> None:
    add_run(store, home, "one")
    left = [home / f".registry.db.{why}.7.partial" for why in ("backup-20260102T030405.000006", "before-0003")]
    journal = left[0].with_name(f"{left[0].name}-journal")
    others = [home / ".another.db.backup-20260102T030405.7.partial", home / "registry.db.backup-20260102T030405"]
    for path in (*left, journal, *others):
        path.write_bytes(b"12345")
    assert sngan("runs", "gc", "--yes", "--json").json["waste"] == []  # they may be being written
    for path in (*left, journal, *others):
        age(path, 11)
    waste = sngan("runs", "gc", "--yes", "--json").json["waste"]
    assert {(each["kind"], each["name"]) for each in waste} == {("leftover", path.name) for path in (*left, journal)}
    assert [path.exists() for path in (*left, journal, *others)] == [False, False, False, True, True]


def test_gc_tells_of_folders_that_the_registry_does_not_know_and_leaves_them(
    sngan: Any, home: Path, store: Store
) -> None:
    add_run(store, home, "known")
    strangers = [home / "runs" / "stranger", home / "trash" / "runs" / "removed-stranger"]
    for folder in strangers:
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}", encoding="utf-8")
    done = sngan("runs", "gc", "--yes")
    assert done.code == 0
    assert f"The registry does not know the run in {strangers[0]}: `sngan registry rebuild` takes it in." in done.err
    assert f"The registry does not know the removed run in {strangers[1]}" in done.err
    assert all(folder.is_dir() for folder in strangers)
    found = sngan("runs", "gc", "--json").json
    assert found == {
        "size": 0,
        "waste": [],
        "unknown": [str(folder) for folder in strangers],
        "misplaced": [],
        "unmoved": [],
        "elsewhere": [],
    }


def test_a_run_that_the_registry_has_as_there_and_the_disk_as_removed_is_put_back(
    sngan: Any, home: Path, trained: str
) -> None:
    """As after going back to a backup from before it was removed."""
    shutil.copy(home / "registry.db", home / "backup.db")
    trashed = home / "trash" / "runs" / trained
    assert sngan("runs", "rm", trained, "--yes").code == 0
    (home / "backup.db").replace(home / "registry.db")
    (finding,) = sngan("registry", "check", "--json").json["findings"]
    said = ("folder of a run that is not removed lies in the trash", str(trashed), f"move it to {home / 'runs'}")
    assert (finding["what"], finding["where"], finding["remedy"]) == said
    drawn = sngan("sample", trained, "-o", home / "sheet.png")
    assert f"The files of run {trained} lie in the trash, in {trashed}: move them to {home / 'runs'}." in drawn.err
    told = sngan("runs", "gc", "--dry-run").err
    assert f"The files of run {trained}, which is not removed, lie in {trashed}: move them to" in told
    assert "does not know" not in told
    found = sngan("runs", "gc", "--yes", "--json").json
    assert (found["waste"], found["unknown"], found["misplaced"]) == ([], [], [str(trashed)])
    trashed.rename(home / "runs" / trained)
    assert sngan("registry", "check", "--hashes").code == 0


def test_gc_leaves_a_run_whose_removal_was_interrupted_and_says_how_to_end_it(
    sngan: Any, home: Path, store: Store
) -> None:
    """It may have gone on since, where the registry is a backup."""
    run_id = add_run(store, home, "one")
    store.trash.put(run_id)
    left = sngan("runs", "gc", "--yes")
    assert (left.code, f"`sngan runs rm {run_id} --yes` ends its removal" in left.err) == (0, True)
    assert sngan("runs", "rm", run_id, "--yes").code == 0
    assert sngan("runs", "gc", "--yes").code == 0
    assert list((home / "runs").iterdir()) == []
    assert sngan("runs", "restore", run_id).code == 3


def test_a_deletion_that_was_interrupted_is_ended_by_the_next(
    sngan: Any, home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_run(store, home, "one", size=77)
    assert sngan("runs", "rm", "one", "--yes").code == 0

    def killed(path: Path) -> None:
        raise StopAtOnceError

    with monkeypatch.context() as patched:
        patched.setattr(garbage, "_delete", killed)
        assert sngan("runs", "gc", "--yes").code == 130
    assert sngan("runs", "restore", run_id).code == 3
    left = sngan("runs", "gc", "--yes", "--json", "--older-than", 30).json
    assert [(waste["kind"], waste["size"], waste["deleted"]) for waste in left["waste"]] == [("leftover", 77, True)]
    assert list((home / "trash" / "runs").iterdir()) == []


def test_a_run_that_was_restored_meanwhile_is_not_deleted(home: Path, store: Store) -> None:
    run_id, resumed = add_run(store, home, "one"), add_run(store, home, "two")
    leftover = home / "runs" / resumed / ".run.json.7"
    leftover.touch()
    age(leftover, 11)
    run_trash.remove(store, run_id)
    found = garbage.survey(store, timedelta())
    assert [waste.kind for waste in found.waste] == ["run", "leftover"]
    run_trash.restore(store, run_id)
    store.claim(resumed, environment())
    before = (dump(home), tree(home / "runs"))
    assert [garbage.delete(store, waste) for waste in found.waste] == [False, False]
    assert (dump(home), tree(home / "runs")) == before


def test_removed_runs_of_another_host_that_have_no_files_there_are_deleted(home: Path, store: Store) -> None:
    imported = add_run(store, home, "imported", host="elsewhere")
    (home / "runs" / imported).mkdir(parents=True)
    new = NewRun(config={}, components=(), environment=environment("elsewhere"), seed=0, steps=9)
    never_begun = store.create_run(new).id
    for run_id in (imported, never_begun):
        run_trash.remove(store, run_id)
    found = garbage.survey(store, timedelta())
    assert ({waste.name for waste in found.waste}, found.elsewhere) == ({imported, never_begun}, ())
    assert all(garbage.delete(store, waste) for waste in found.waste)
    assert (store.trash.runs(), list((home / "trash" / "runs").iterdir())) == ((), [])


def test_a_leftover_that_is_written_to_again_is_not_deleted_with_another(home: Path, store: Store) -> None:
    folder = home / "runs" / add_run(store, home, "one")
    left, written = folder / ".run.json.7", folder / ".scalars.csv.8"
    for path in (left, written):
        path.touch()
        age(path, 11)
    found = {waste.paths[0]: waste for waste in garbage.survey(store, timedelta()).waste}
    assert {*found} == {left, written}
    os.utime(written)
    assert [garbage.delete(store, found[path]) for path in (written, left)] == [False, True]
    assert (written.exists(), left.exists()) == (True, False)


def test_what_cannot_be_deleted_is_named(sngan: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = home / "trash" / "extractor-x-20260102T030405000006"
    extractor.mkdir(parents=True)

    def fail(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path / "file"))

    monkeypatch.setattr(shutil, "rmtree", fail)
    done = sngan("runs", "gc", "--yes")
    assert done.code == 1
    assert f"error: {extractor} cannot be deleted: Permission denied: {extractor / 'file'}." in done.err
    assert extractor.is_dir()
