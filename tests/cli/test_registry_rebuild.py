"""`sngan registry rebuild`: a registry from folders alone, equal to the one that is gone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import garbage, recording
from sngan_cli.commands.taken import tell_taken
from sngan_cli.events import Event, Scored
from sngan_cli.recording import Recorder
from sngan_cli.registry_rebuild import Taken
from sngan_cli.run_folder import describe_folder
from sngan_registry import Scalar, Status, Store, reads

TABLES = ("runs", "tags", "components", "scalars", "scores", "checkpoints", "artifacts", "events", "extractors")
STRANGE = ("nan", "inf", "-inf", "0.1", "1e-300", "-0.0")
EXTRACTOR = [
    "--dataset", "shapes", "--set", "dataset.images=40", "--size", "8", "--width", "4", "--epochs", "1",
    "--batch-size", "16", "--device", "cpu",
]  # fmt: skip


def rows(path: Path) -> dict[str, list[str]]:
    """What stands in every table; events without the numbers that each database gives them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: sorted(
                repr({key: value for key, value in dict(row).items() if (table, key) != ("events", "id")})
                for row in connection.execute(f"SELECT * FROM {table}")
            )
            for table in TABLES
        }


@pytest.fixture
def registry(home: Path) -> Path:
    return home / "registry.db"


@pytest.fixture
def lost(home: Path, registry: Path, trained: str) -> Path:
    """The registry of the run `tiny`, moved to where nobody looks for it."""
    return registry.rename(home / "lost.db")


def taken(sngan: Any, *arguments: object, code: int = 0) -> list[tuple[str, str]]:
    """Ids and sources of what was taken in."""
    done = sngan("registry", "rebuild", "--json", *arguments)
    assert done.code == code, done.err
    return [(each["id"], each["source"]) for each in done.json["taken"]]


def test_a_rebuilt_registry_equals_the_old_one(
    sngan: Any, home: Path, registry: Path, trained: str, tiny: list[str]
) -> None:
    """Runs that finished, were resumed, evaluated, stopped by an error and begun from another; and an extractor."""
    child = sngan("train", "--like", trained, "--steps", 2, "--note", 'a child, with "quotes", and ümlaute').out
    assert sngan("train", "--resume", trained, "--steps", 6).code == 0
    assert sngan("evaluate", trained, "--checkpoint", 2, "--metric", "is", "--seed", 3).code == 0
    diverged = sngan("train", *tiny, "--steps", 40, "--lr-g", "1e30", "--set", "precision=fp32")
    assert diverged.code == 5
    assert sngan("extractors", "train", "mine", *EXTRACTOR).code == 0
    with Store.open(registry) as store:
        strange = [Scalar(name="strange", step=step, value=float(value)) for step, value in enumerate(STRANGE)]
        store.add_scalars(child.strip(), strange)
        store.add_score(child.strip(), replace(store.scores(child.strip())[0], metric="fid", value=float("inf")))
        describe_folder(store, child.strip(), home / "runs" / child.strip(), pytest.fail)
    before = rows(registry)
    assert {table for table in TABLES if not before[table]} == set()
    registry.rename(home / "lost.db")
    found = taken(sngan)
    assert [source for _, source in found] == ["run.json", "run.json", "run.json", "manifest.json"]
    assert [id_ for id_, _ in found[:2]] == [trained, child.strip()]
    assert rows(registry) == before
    content = registry.read_bytes()
    done = sngan("registry", "rebuild")
    assert (done.code, done.out) == (0, "Every run and every trained extractor that lies here is recorded.\n")
    assert registry.read_bytes() == content
    assert sngan("registry", "check", "--hashes").code == 0


def test_what_is_there_stays_as_it_is(sngan: Any, home: Path, registry: Path, trained: str) -> None:
    other = sngan("train", "--like", trained, "--steps", 1).out.strip()
    with Store.open(registry) as store:
        store.update(trained, note="since then")
    with closing(sqlite3.connect(registry)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM runs WHERE id = ?", (other,))
    before = rows(registry)
    assert taken(sngan) == [(other, "run.json")]
    after = rows(registry)
    assert {table: [row for row in after[table] if other not in row] for table in TABLES} == before
    with Store.open(registry) as store:
        assert store.run(other).parent == trained


def test_a_table_says_what_was_taken_in(sngan: Any, lost: Path, trained: str) -> None:
    done = sngan("registry", "rebuild")
    head, line = done.out.splitlines()
    assert head.split() == ["kind", "id", "name", "status", "step", "from"]
    assert line.split() == ["run", trained, "tiny", "finished", "4", "run.json"]
    assert done.err == ""


def test_a_run_that_has_not_made_a_step_has_step_0_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    tell_taken([Taken("run", "1m8", None, "failed", 0, "run.json")], as_json=False)
    assert capsys.readouterr().out.splitlines()[1].split() == ["run", "1m8", "failed", "0", "run.json"]


def test_runs_in_the_trash_are_told_of(sngan: Any, home: Path, registry: Path, trained: str) -> None:
    assert sngan("train", "--like", trained, "--name", "other").code == 0
    (folder,) = sngan("runs", "rm", "other", "--yes").out.split()
    registry.unlink()
    said = f"The removed run in {folder} stays out: move it to {home / 'runs'} to have it taken in."
    done = sngan("registry", "rebuild")
    assert (done.code, done.err.strip()) == (0, said)
    Path(folder).rename(home / "runs" / Path(folder).name)
    assert sngan("registry", "rebuild").err == ""
    assert sngan("runs", "show", "other").code == 0


def test_there_may_be_nothing(sngan: Any, home: Path, registry: Path) -> None:
    done = sngan("registry", "rebuild")
    assert (done.code, done.out) == (0, "")
    assert f"no run lies in {home / 'runs'}" in done.err
    assert sngan("registry", "rebuild", "--json").json == {"moved": None, "taken": [], "refused": []}
    assert not registry.exists()


def test_a_damaged_registry_is_moved_aside_and_kept(
    sngan: Any, home: Path, registry: Path, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(registry)
    content = bytearray(registry.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    registry.write_bytes(content)
    refused = sngan("registry", "rebuild")
    assert refused.code == 2
    assert "is damaged: database disk image is malformed." in refused.err
    assert "needs --yes" in refused.err
    assert registry.read_bytes() == content
    done = sngan("registry", "rebuild", "--yes")
    assert done.code == 0
    (aside,) = home.glob("registry.db.damaged-*")
    assert aside.read_bytes() == content
    assert f"The damaged registry is in {aside}." in done.err
    assert rows(registry) == before


def test_a_row_that_cannot_be_read_is_damage_too(sngan: Any, home: Path, registry: Path, trained: str) -> None:
    before = rows(registry)
    with closing(sqlite3.connect(registry)) as connection, connection:
        connection.execute("UPDATE runs SET created = 'noon'")
    assert sngan("registry", "rebuild", "--yes").code == 0
    assert len(list(home.glob("registry.db.damaged-*"))) == 1
    assert rows(registry) == before


def test_a_run_that_was_killed_comes_in_as_lost_and_goes_on(
    sngan: Any, home: Path, registry: Path, tiny: list[str]
) -> None:
    command = [sys.executable, "-m", "sngan_cli", "train", *tiny, "--steps", "2000", "--checkpoint-every", "20",
               "--set", "keep_every=20", "--name", "killed"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(home.glob("runs/*/samples/step-00000040.png")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    registry.rename(home / "lost.db")
    done = sngan("registry", "rebuild", "--json")
    assert done.code == 0
    (run,) = done.json["taken"]
    assert run["status"] == "lost"
    (remark,) = run["remarks"]
    assert f"`sngan train --resume {run['id']}` goes on; if process {process.pid} on " in remark
    with Store.open(registry) as store:
        steps = [each.step for each in store.checkpoints(run["id"])]
        # Whatever was recorded, all that lies on the disk whole is known.
        assert steps == sorted(int(path.name[5:]) for path in home.glob("runs/*/checkpoints/step-*"))
        assert (
            sum(each.name == "loss_d" for each in store.scalars(run["id"])) >= 20
        )  # those of the checkpoint before, at least
    assert sngan("train", "--resume", "killed", "--steps", max(steps) + 2).code == 0
    assert sngan("runs", "show", "killed", "--json").json["status"] == "finished"
    assert sngan("registry", "check", "--hashes").code == 0


def at_the_first_score(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Do something to the registry before a score at step 2 is recorded; records do not wait for it at the end."""
    record = Recorder.__call__

    def do_and_record(recorder: Recorder, event: Event) -> None:
        if isinstance(event, Scored) and event.step == 2:
            do()
        record(recorder, event)

    monkeypatch.setattr(Recorder, "__call__", do_and_record)
    monkeypatch.setattr(recording, "PATIENCE", 0)


def test_a_run_whose_registry_was_deleted_while_it_was_trained_comes_in_whole(
    sngan: Any, tiny: list[str], home: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_first_score(monkeypatch, registry.unlink)
    done = sngan("train", *tiny, "--steps", 4, "--eval-every", 2, "--tag", "kept")
    run_id = done.out.strip()
    folder = home / "runs" / run_id
    assert done.code == 4
    assert f"All of run {run_id} is in {folder}: `sngan registry rebuild` takes it in." in done.err
    assert not registry.exists()
    assert taken(sngan) == [(run_id, "run.json")]
    with Store.open(registry) as store:
        run = store.run(run_id)
        assert (run.status, run.step, run.tags) == (Status.FINISHED, 4, ("kept",))
        assert [score.step for score in store.scores(run_id)] == [2, 4]
        assert [each.step for each in store.scalars(run_id) if each.name == "loss_d"] == [1, 2, 3, 4]
    assert sngan("registry", "check", "--hashes").code == 0
    assert sngan("sample", run_id, "-n", 2, "-o", home / "sheet.png").code == 0


def test_a_registry_that_is_put_back_after_a_run_learns_how_it_ended(
    sngan: Any, tiny: list[str], home: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_first_score(monkeypatch, lambda: registry.rename(home / "aside.db"))
    run_id = sngan("train", *tiny, "--steps", 4, "--eval-every", 2).out.strip()
    (home / "aside.db").rename(registry)
    monkeypatch.setattr(reads, "LOST_AFTER", timedelta(0))
    assert sngan("runs", "show", run_id, "--json").json["status"] == "lost"
    checked = sngan("registry", "check")
    assert checked.code == 4
    assert "folder of a run tells more than its record" in checked.out
    tagged = sngan("runs", "tag", run_id, "--add", "seen")
    assert "tells more of run" in tagged.err
    record = home / "runs" / run_id / "run.json"
    sound = record.read_text(encoding="utf-8")
    record.write_text(sound.replace('"metric"', '"metrics"'), encoding="utf-8")
    assert "run.json is damaged (metric is missing)" in sngan("registry", "rebuild").err
    record.write_text(sound, encoding="utf-8")
    assert taken(sngan) == [(run_id, "run.json")]
    shown = sngan("runs", "show", run_id, "--json").json
    assert (shown["status"], shown["step"], [score["step"] for score in shown["scores"]]) == ("finished", 4, [2, 4])
    assert shown["tags"] == ["seen"]
    assert sngan("registry", "check", "--hashes").code == 0
    assert taken(sngan) == []


def test_a_backup_that_is_put_back_learns_how_a_run_went_on(
    sngan: Any, home: Path, registry: Path, trained: str
) -> None:
    """It was finished then, and was trained on since, from before its end."""
    shutil.copy(registry, home / "backup.db")
    resume = ("train", "--resume", trained, "--checkpoint", 2, "--steps", 5, "--yes")
    assert sngan(*resume, "--eval-every", 3, "--checkpoint-every", 3).code == 0
    record = (home / "runs" / trained / "run.json").read_text(encoding="utf-8")
    newer = registry.rename(home / "newer.db")
    shutil.copy(home / "backup.db", registry)
    found = sngan("registry", "check", "--hashes", "--json").json["findings"]  # its files are others by now
    assert [finding["what"] for finding in found if finding["is_fault"]] == [
        "folder of a run tells more than its record"
    ]
    assert "tells more of run" in sngan("runs", "tag", trained, "--remove", "test").err
    assert (home / "runs" / trained / "run.json").read_text(encoding="utf-8") == record
    assert sngan("runs", "tag", trained, "--add", "test").code == 0
    assert taken(sngan) == [(trained, "run.json")]
    assert rows(registry) == rows(newer)
    assert taken(sngan) == []
    shutil.copy(home / "backup.db", registry)
    assert "is already at step 5 of 5" in sngan("train", "--resume", trained).err


def test_a_backup_in_which_a_run_is_removed_that_went_on_since_costs_nothing(
    sngan: Any, home: Path, registry: Path, trained: str
) -> None:
    sngan("runs", "rm", trained, "--yes")
    shutil.copy(registry, home / "backup.db")
    sngan("runs", "restore", trained)
    assert sngan("train", "--resume", trained, "--steps", 5).code == 0
    shutil.copy(home / "backup.db", registry)
    found = sngan("registry", "check", "--json").json["findings"]
    assert "run counts as removed, and its folder tells how it went on since" in [finding["what"] for finding in found]
    emptied = sngan("runs", "gc", "--yes", "--json")
    assert (emptied.json["waste"], emptied.json["unmoved"]) == ([], [str(home / "runs" / trained)])
    assert f"`sngan runs restore {trained}` gets the run back" in sngan("runs", "gc", "--yes").err
    assert sngan("runs", "restore", trained).code == 0
    assert taken(sngan) == [(trained, "run.json")]
    assert sngan("runs", "show", trained, "--json").json["step"] == 5
    assert sngan("registry", "check", "--hashes").code == 0


@pytest.mark.parametrize(
    "record", [None, "{", "[" * 100_000, "[]", "no environment", "a step that is none", "a seed without end"]
)
def test_a_run_without_a_sound_record_is_told_by_its_configuration_and_checkpoints(
    sngan: Any, home: Path, registry: Path, lost: Path, trained: str, record: str | None
) -> None:
    path = home / "runs" / trained / "run.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    match record:
        case None:
            path.unlink()
        case "no environment":
            del values["run"]["environment"]
            path.write_text(json.dumps(values), encoding="utf-8")
        case "a seed without end":
            values["run"]["seed"] = 10**40
            path.write_text(json.dumps(values), encoding="utf-8")
        case "a step that is none":
            values["checkpoints"][0]["step"] = [2]
            path.write_text(json.dumps(values), encoding="utf-8")
        case _:
            path.write_text(record, encoding="utf-8")
    damaged = path.read_text(encoding="utf-8") if path.exists() else None
    done = sngan("registry", "rebuild")
    assert done.code == 0
    what = {None: "is missing", "[]": "describes no run"}.get(record, "is damaged (")
    assert f"warning: {trained}: run.json {what}" in done.err
    kept = list(path.parent.glob("run.json.damaged-*"))
    assert [each.read_text(encoding="utf-8") for each in kept] == ([] if damaged is None else [damaged])
    assert json.loads(path.read_text(encoding="utf-8"))["run"]["id"] == trained
    assert all(f"what is left of its run.json is kept in {each.name}." in done.err for each in kept)
    old, new = rows(lost), rows(registry)
    assert new["scalars"] == old["scalars"]
    with Store.open(lost) as before, Store.open(registry) as after:
        known, told = before.run(trained), after.run(trained)
        assert (told.config, told.seed, told.step, told.steps) == (known.config, known.seed, known.step, known.steps)
        assert (told.status, told.name, told.environment.sngan) == (Status.INTERRUPTED, None, "unknown")
        assert abs(told.created - known.created).total_seconds() < 0.0011
        assert [(c.role, c.name, c.options) for c in after.components(trained)] == [
            (c.role, c.name, c.options) for c in before.components(trained)
        ]
        assert [(c.step, c.path, c.size, c.sha256) for c in after.checkpoints(trained)] == [
            (c.step, c.path, c.size, c.sha256) for c in before.checkpoints(trained)
        ]
        assert [(a.kind, a.path, a.size, a.sha256, a.step) for a in after.artifacts(trained)] == [
            (a.kind, a.path, a.size, a.sha256, a.step) for a in before.artifacts(trained)
        ]
        (event,) = after.events(trained)
        assert event.message.startswith("Taken in from its configuration and 2 of its checkpoints alone: run.json")
    assert sngan("registry", "check", "--hashes").code == 0
    resumed = sngan("train", "--resume", trained, "--steps", 5)
    assert resumed.code == 0, resumed.err


def test_folders_that_are_of_no_use_stop_nothing(
    sngan: Any, home: Path, registry: Path, lost: Path, trained: str
) -> None:
    runs = home / "runs"
    shutil.copytree(runs / trained, runs / "1m88mm6bzf6")  # a copy under another id
    (runs / "1m88mm6bzf7").mkdir()
    (runs / "zzzzzzzzzzz").mkdir()
    (runs / "zzzzzzzzzzz" / "config.toml").write_text("seed = 'none'", encoding="utf-8")
    (runs / "notes").mkdir()
    done = sngan("registry", "rebuild")
    assert done.code == 1
    assert done.out.splitlines()[1].split()[:2] == ["run", trained]
    copy, empty, strange = done.err.splitlines()
    assert copy == (
        f"warning: {runs / '1m88mm6bzf6'}: nothing was taken in: run.json is of run {trained}: give the folder that "
        "name, if it is not a copy."
    )
    assert (
        empty
        == f"warning: {runs / '1m88mm6bzf7'}: nothing was taken in: run.json is missing, and config.toml is missing."
    )
    assert strange.startswith(f"warning: {runs / 'zzzzzzzzzzz'}: nothing was taken in: run.json is missing, and config")
    assert taken(sngan, code=1) == []


def test_checkpoints_are_those_on_the_disk(sngan: Any, home: Path, registry: Path, lost: Path, trained: str) -> None:
    checkpoints = home / "runs" / trained / "checkpoints"
    shutil.copytree(checkpoints / "step-00000004", checkpoints / "step-00000005")
    shutil.copytree(checkpoints / "step-00000004", checkpoints / "step-00000001")
    (checkpoints / "step-00000001" / "state.json").unlink()
    shutil.rmtree(checkpoints / "step-00000002")
    done = sngan("registry", "rebuild", "--json")
    (run,) = done.json["taken"]
    assert run["remarks"] == [
        "gone, and counted as deleted: 1 checkpoint, of step 2",
        "its checkpoint of step 1 is left out: state.json: the file is missing",
    ]
    with Store.open(registry) as store:
        assert [(c.step, c.deleted is None) for c in store.checkpoints(trained)] == [(2, False), (4, True), (5, True)]
        assert store.run(trained).step == 5
    assert sngan("registry", "check", "--hashes").code == 0


def test_a_checkpoint_that_is_put_back_after_a_rebuild_is_there_again(
    sngan: Any, home: Path, registry: Path, lost: Path, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "LEFT_ALONE", timedelta(0))
    checkpoint = home / "runs" / trained / "checkpoints" / "step-00000004"
    checkpoint.rename(home / "away")
    assert taken(sngan) == [(trained, "run.json")]
    (home / "away").rename(checkpoint)
    assert sngan("registry", "check", "--json").json["findings"] == []
    assert sngan("runs", "gc", "--yes", "--json").json["waste"] == []
    assert sngan("train", "--resume", trained, "--checkpoint", 4, "--steps", 5).code == 0
    with Store.open(registry) as store:
        assert [(c.step, c.deleted is None) for c in store.checkpoints(trained)] == [(2, True), (4, True), (5, True)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "scalars.csv is missing"),
        ("name,step\n", "scalars.csv is damaged (it begins with 'name,step', not 'name,step,value')"),
        ("name,step,value\nloss_d,1,0.5\nloss_d,2\n", "scalars.csv is damaged (line 3 is 'loss_d,2')"),
        ("name,step,val", "scalars.csv is damaged (it begins with '', not 'name,step,value')"),
    ],
)
def test_curves_that_cannot_be_read_are_told(
    sngan: Any, home: Path, registry: Path, lost: Path, trained: str, text: str | None, why: str
) -> None:
    path = home / "runs" / trained / "scalars.csv"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    done = sngan("registry", "rebuild")
    assert done.code == 0
    assert done.err == f"warning: {trained}: its curves are not there: {why}.\n"
    with Store.open(registry) as store:
        assert store.scalars(trained) == ()
        assert len(store.scores(trained)) == 2


def test_curves_that_are_cut_off_keep_what_is_whole(
    sngan: Any, home: Path, registry: Path, lost: Path, trained: str
) -> None:
    path = home / "runs" / trained / "scalars.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-3], encoding="utf-8")
    done = sngan("registry", "rebuild")
    assert done.err == f"warning: {trained}: its curves are not whole: the end of scalars.csv is cut off.\n"
    with Store.open(registry) as store:
        assert len(store.scalars(trained)) == len(text.splitlines()) - 2


@pytest.mark.parametrize("is_told", [True, False])
def test_curves_that_lack_points_are_told_where_the_record_has_their_number(
    sngan: Any, home: Path, registry: Path, lost: Path, trained: str, is_told: bool
) -> None:
    path, record = home / "runs" / trained / "scalars.csv", home / "runs" / trained / "run.json"
    *kept, _ = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(kept), encoding="utf-8")
    if not is_told:  # as of a release before
        values = json.loads(record.read_text(encoding="utf-8"))
        del values["points"]
        record.write_text(json.dumps(values), encoding="utf-8")
    done = sngan("registry", "rebuild")
    said = f"warning: {trained}: its curves are not whole: scalars.csv has {len(kept) - 1} of {len(kept)} points.\n"
    assert (done.code, done.err) == (0, said if is_told else "")
    with Store.open(registry) as store:
        assert len(store.scalars(trained)) == len(kept) - 1


def test_folders_from_elsewhere(
    sngan: Any, home: Path, registry: Path, lost: Path, trained: str, tmp_path: Path
) -> None:
    (home / "runs").rename(tmp_path / "copies")
    done = sngan("registry", "rebuild", "--runs", tmp_path / "copies")
    assert done.code == 0
    assert done.err == f"To draw from these runs or go on with them, put their folders into {home / 'runs'}.\n"
    assert rows(registry) == rows(lost)
    done = sngan("registry", "rebuild", "--runs", tmp_path / "missing")
    assert (done.code, done.err.partition(":")[2].strip()[:19]) == (3, "The folder of runs ")


def test_an_extractor_whose_weights_were_altered_is_not_taken_in(sngan: Any, home: Path, registry: Path) -> None:
    for name in ("good", "bad"):
        assert sngan("extractors", "train", name, *EXTRACTOR).code == 0
    registry.rename(home / "lost.db")
    weights = home / "extractors" / "bad" / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = sngan("registry", "rebuild")
    assert done.code == 1
    assert done.out.splitlines()[1].split() == ["extractor", "good", "good", "manifest.json"]
    assert f"{weights.parent}: nothing was taken in: " in done.err
    with Store.open(registry) as store:
        assert [record.name for record in store.extractors.all()] == ["good"]
