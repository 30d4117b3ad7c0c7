"""`sngan runs export | import`: runs as one file."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import run_archive
from sngan_cli.stopping import StopAtOnceError
from sngan_registry import Status, Store


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call this, and `sngan` is on another machine."""

    def move() -> Path:
        other = tmp_path / "elsewhere"
        monkeypatch.setenv("SNGAN_HOME", str(other))
        return other

    return move


@pytest.fixture
def archive(sngan: Any, trained: str, tmp_path: Path) -> Path:
    path = tmp_path / "run.zip"
    done = sngan("runs", "export", trained, "-o", path)
    assert (done.code, done.out) == (0, f"{path}\n")
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_the_same_elsewhere(sngan: Any, home: Path, trained: str, tmp_path: Path, elsewhere: Any) -> None:
    child = sngan("train", "--like", trained, "--steps", 1, "--note", "a child").out.strip()
    assert sngan("runs", "tag", trained, "--add", "sent").code == 0
    path = tmp_path / "runs.zip"
    assert sngan("runs", "export", "tiny", child, trained, "-o", path).code == 0
    before = {run: sngan("runs", "show", run, "--json").json for run in (trained, child)}
    other = elsewhere()
    taken = sngan("runs", "import", path, "--json").json
    assert [(each["id"], each["source"], each["remarks"]) for each in taken["taken"]] == [
        (trained, "run.json", []), (child, "run.json", []),
    ]  # fmt: skip
    assert {run: sngan("runs", "show", run, "--json").json for run in (trained, child)} == before
    assert tree(other / "runs") == tree(home / "runs")
    assert sngan("registry", "check", "--hashes").code == 0
    assert sngan("sample", "tiny", "-n", 4, "-o", tmp_path / "sheet.png").code == 0
    assert sngan("train", "--resume", "tiny", "--steps", 5).code == 0


def test_an_export_has_what_the_registry_knows_and_writes_to_no_folder_of_a_run(
    sngan: Any, home: Path, trained: str, tmp_path: Path
) -> None:
    with Store.open(home / "registry.db") as store:
        store.update(trained, note="not in the folder yet")
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (home / "runs").rglob("*")}
    assert sngan("runs", "export", trained, "-o", tmp_path / "run.zip").code == 0
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (home / "runs").rglob("*")} == before
    with zipfile.ZipFile(tmp_path / "run.zip") as packed:
        assert json.loads(packed.read(f"{trained}/run.json"))["run"]["note"] == "not in the folder yet"
        assert len(packed.namelist()) == len({*packed.namelist()})


def test_one_checkpoint_is_enough_to_go_on_from(
    sngan: Any, home: Path, trained: str, tmp_path: Path, elsewhere: Any
) -> None:
    path = tmp_path / "run.zip"
    assert sngan("runs", "export", trained, "-o", path, "--checkpoint", 2).code == 0
    other = elsewhere()
    done = sngan("runs", "import", path)
    assert (done.code, "gone, and counted as deleted: 1 checkpoint, of step 4" in done.err) == (0, True)
    assert [path.name for path in (other / "runs" / trained / "checkpoints").iterdir()] == ["step-00000002"]
    assert (home / "runs" / trained / "checkpoints" / "step-00000004").is_dir()
    before = sngan("runs", "show", trained, "--json").json
    for which in ((), ("--checkpoint", 2)):
        refused = sngan("train", "--resume", trained, *which)
        said = "Dropping 1 later score, with losses and sheets since, needs --yes where nobody can be asked."
        assert (refused.code, refused.err) == (2, f"error: {said}\n")
    assert sngan("runs", "show", trained, "--json").json == before
    assert sngan("train", "--resume", trained, "--yes").code == 0


def test_files_come_to_where_the_registry_has_the_record_alone(
    sngan: Any, home: Path, trained: str, archive: Path, tmp_path: Path
) -> None:
    before = tree(home / "runs" / trained)
    shutil.rmtree(home / "runs" / trained)
    (taken,) = sngan("runs", "import", archive, "--json").json["taken"]
    assert (taken["id"], taken["source"]) == (trained, "files alone")
    assert tree(home / "runs" / trained) == before


def test_an_import_that_was_killed_between_record_and_files_is_given_again(
    sngan: Any, archive: Path, trained: str, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: Path, target: Path) -> None:
        raise StopAtOnceError

    elsewhere()
    with monkeypatch.context() as patched:
        patched.setattr(run_archive, "move", killed)
        assert sngan("runs", "import", archive).code == 130
    (finding,) = sngan("registry", "check", "--json").json["findings"]
    assert "give `sngan runs import` the run's file again, or remove the run: `sngan runs rm" in finding["remedy"]
    assert sngan("runs", "import", archive).code == 0
    assert sngan("registry", "check", "--hashes").code == 0


def test_what_is_there_stays(sngan: Any, home: Path, trained: str, archive: Path) -> None:
    before = tree(home)
    done = sngan("runs", "import", archive)
    assert done.code == 1
    assert f"{home / 'runs' / trained}: nothing was taken in: it is there already; to have" in done.err
    assert tree(home) == before
    assert sngan("runs", "rm", trained, "--yes").code == 0
    done = sngan("runs", "import", archive)
    assert (done.code, f"`sngan runs restore {trained}` gets it back" in done.err) == (1, True)
    assert not (home / "runs" / trained).exists()


def test_a_folder_that_is_not_recorded_stays(sngan: Any, trained: str, archive: Path, elsewhere: Any) -> None:
    there = elsewhere() / "runs" / trained / "mine"
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    done = sngan("runs", "import", archive)
    assert (done.code, "try `sngan registry rebuild`" in done.err) == (1, True)
    assert there.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run.tar", "has no known ending: use one of .zip"),
        ("there.zip", "exists already: name a new file"),
        ("folder", "has no known ending"),
    ],
)
def test_an_output_that_will_not_do(sngan: Any, trained: str, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "there.zip").write_text("mine")
    (tmp_path / "folder").mkdir()
    done = sngan("runs", "export", trained, "-o", tmp_path / name)
    assert (done.code, said in done.err) == (2, True)
    assert (tmp_path / "there.zip").read_text() == "mine"


def test_what_cannot_be_exported_is_named(sngan: Any, home: Path, trained: str, tmp_path: Path) -> None:
    path = tmp_path / "run.zip"

    def export(*more: object) -> tuple[int, str]:
        done = sngan("runs", "export", trained, "-o", path, *more)
        assert list(tmp_path.glob("*.zip*")) == [] == list(tmp_path.glob(".*.zip*"))
        return done.code, done.err

    code, said = export("--checkpoint", 3)
    assert (code, "choose last, best or one of the steps 2, 4" in said) == (3, True)
    damaged = home / "runs" / trained / "checkpoints" / "step-00000002" / "generator.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    code, said = export()
    assert (code, f"The checkpoint file {damaged} is damaged" in said) == (1, True)
    assert "To leave it out, name another with --checkpoint." in said
    shutil.rmtree(damaged.parent)
    code, said = export()
    assert (code, f"{damaged.parent} is damaged: the folder is missing" in said) == (1, True)
    only = damaged.parent.with_name("step-00000004")
    only.rename(only.with_name("away"))
    assert export()[1].endswith("the folder is missing. Put it back from a copy.\n")
    only.with_name("away").rename(only)
    with Store.open(home / "registry.db") as store:
        environment = store.run(trained).environment
        store.claim(trained, environment)
        assert store.run(trained).status is Status.RUNNING
    code, said = export("--checkpoint", 4)
    assert (code, f"Run {trained} is being trained" in said) == (1, True)
    with Store.open(home / "registry.db") as store:
        store.close(trained, Status.FINISHED, step=4)
    shutil.rmtree(home / "runs" / trained)
    code, said = export()
    assert (code, f"The files of run {trained} are not in {home / 'runs'}: it was trained on" in said) == (3, True)


@pytest.mark.parametrize(
    "name", ["../{run}/x", "/etc/{run}", "{run}/../../x", "{run}", "README", "{run}\\x", "a//b", "{run}" + 9 * "/x"]
)
def test_an_archive_of_other_things_is_refused(
    sngan: Any, home: Path, archive: Path, trained: str, tmp_path: Path, elsewhere: Any, name: str
) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name.format(run=trained), "evil")
    other = elsewhere()
    before = tree(tmp_path)
    done = sngan("runs", "import", archive)
    assert (done.code, "is no file of a run" in done.err) == (1, True)
    assert {path: content for path, content in tree(tmp_path).items() if "registry.db" not in path} == {
        path: content for path, content in before.items() if "registry.db" not in path
    }
    assert not list(other.glob("runs/*"))


def test_a_link_in_an_archive_is_refused(sngan: Any, archive: Path, trained: str, elsewhere: Any) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        link = zipfile.ZipInfo(f"{trained}/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc")
    elsewhere()
    assert "is no file of a run" in sngan("runs", "import", archive).err


@pytest.mark.parametrize("damage", ["cut", "altered", "text", "empty", "missing"])
def test_a_damaged_archive_leaves_nothing(sngan: Any, archive: Path, trained: str, elsewhere: Any, damage: str) -> None:
    content = archive.read_bytes()
    middle = len(content) // 2
    other = elsewhere()
    match damage:
        case "cut":
            archive.write_bytes(content[:middle])
        case "altered":
            archive.write_bytes(content[:middle] + bytes(255 - byte for byte in content[middle : middle + 9])
                                + content[middle + 9 :])  # fmt: skip
        case "text":
            archive.write_text("no archive")
        case "empty":
            with zipfile.ZipFile(archive, "w"):
                pass
        case "missing":
            archive.unlink()
    done = sngan("runs", "import", archive)
    assert done.code == (3 if damage == "missing" else 1)
    assert str(archive) in done.err
    assert "Traceback" not in done.err
    assert not list(other.glob("runs/*"))
    assert sngan("runs", "list", "--json").json == []


def test_a_run_that_tells_nothing_of_itself_is_not_taken_in(
    sngan: Any, archive: Path, trained: str, tmp_path: Path, elsewhere: Any
) -> None:
    other = elsewhere()
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as opened:
        opened.writestr(f"{trained}/samples/step-00000002.png", b"")
    done = sngan("runs", "import", tmp_path / "bare.zip")
    assert (done.code, "run.json is missing, and config.toml is missing" in done.err) == (1, True)
    assert f"{other / 'runs' / trained}: nothing was taken in" in done.err
    assert not list(other.glob("runs/*"))


def test_there_must_be_room(sngan: Any, archive: Path, elsewhere: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = elsewhere()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 5, 5))  # type: ignore[attr-defined]
    done = sngan("runs", "import", archive)
    assert (done.code, "and 5 are free in" in done.err) == (2, True)
    assert not list(other.glob("runs/*"))


def test_gc_deletes_what_a_killed_import_left(sngan: Any, home: Path, trained: str) -> None:
    left = home / "runs" / ".import-abc"
    (left / trained).mkdir(parents=True)
    (left / trained / "file").write_bytes(b"12345")
    assert sngan("runs", "gc", "--dry-run", "--json").json["waste"] == []
    then = time.time() - 11 * 60
    for path in (left / trained / "file", left / trained, left):
        os.utime(path, (then, then))
    (waste,) = sngan("runs", "gc", "--yes", "--json").json["waste"]
    assert (waste["kind"], waste["name"], waste["size"]) == ("leftover", ".import-abc", 5)
    assert not left.exists()


def altered(archive: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the record in an archive."""
    with zipfile.ZipFile(archive) as opened:
        files = {each.filename: opened.read(each) for each in opened.infolist()}
    (name,) = (name for name in files if name.endswith("run.json"))
    record = json.loads(files[name])
    change(record)
    files[name] = json.dumps(record).encode()
    with zipfile.ZipFile(archive, "w") as opened:
        for each, content in files.items():
            opened.writestr(each, content)


@pytest.mark.parametrize("name", ["@last", "two\nlines", "1m8b8qcsq70"])
def test_a_name_that_no_run_is_given_is_not_taken_in(sngan: Any, archive: Path, elsewhere: Any, name: str) -> None:
    altered(archive, lambda record: record["run"].update(name=name, note="\x1b[31mred"))
    elsewhere()
    (taken,) = sngan("runs", "import", archive, "--json").json["taken"]
    shown = sngan("runs", "show", taken["id"], "--json").json
    assert shown["name"] is None
    assert shown["note"] == "\N{REPLACEMENT CHARACTER}[31mred"
    assert "it has lost its name" in taken["remarks"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["artifacts"][0].update(path="/etc/passwd"),
        lambda record: record["checkpoints"][0].update(path="../../elsewhere"),
        lambda record: record["run"].update(step=-5),
    ],
)
def test_a_record_that_cannot_be_is_made_anew_from_the_rest(
    sngan: Any, archive: Path, trained: str, elsewhere: Any, change: Callable[[dict[str, Any]], object]
) -> None:
    altered(archive, change)
    elsewhere()
    (taken,) = sngan("runs", "import", archive, "--json").json["taken"]
    assert (taken["id"], taken["source"]) == (trained, "config.toml and checkpoints")
    assert "run.json is damaged" in taken["remarks"][0]
    assert sngan("registry", "check", "--hashes").code == 0


def test_a_checkpoint_that_was_altered_is_not_taken_in(
    sngan: Any, archive: Path, trained: str, tmp_path: Path, elsewhere: Any
) -> None:
    with zipfile.ZipFile(archive) as opened, zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        for each in opened.infolist():
            content = opened.read(each)
            last = (
                bytes([content[-1] ^ 1]) if each.filename.endswith("00000004/generator.safetensors") else content[-1:]
            )
            other.writestr(each.filename, content[:-1] + last)
    there = elsewhere()
    done = sngan("runs", "import", tmp_path / "other.zip")
    assert (done.code, "its checkpoint of step 4 is damaged: generator.safetensors" in done.err) == (1, True)
    assert not list(there.glob("runs/*"))


def test_a_file_that_is_there_twice_is_refused(sngan: Any, archive: Path, trained: str, elsewhere: Any) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(f"{trained}/config.toml", "other")
    elsewhere()
    assert "is no file of a run" in sngan("runs", "import", archive).err


@pytest.mark.parametrize("host", [None, "another"])
@pytest.mark.parametrize(
    "arguments",
    [["train", "--resume", "@last", "--steps", 9], ["sample", "@last", "-o", "x.png"],
     ["interpolate", "@last", "-o", "x.png"], ["evaluate", "@last"], ["runs", "export", "@last", "-o", "x.zip"]],
)  # fmt: skip
def test_files_on_another_machine_are_asked_for(
    sngan: Any,
    trained: str,
    home: Path,
    elsewhere: Any,
    monkeypatch: pytest.MonkeyPatch,
    host: str | None,
    arguments: list[Any],
) -> None:
    monkeypatch.setenv("SNGAN_REGISTRY", str(home / "registry.db"))
    runs = elsewhere() / "runs"
    if host is not None:
        monkeypatch.setattr("socket.gethostname", lambda: host)
    done = sngan(*arguments)
    assert done.code == 3
    assert f"error: The files of run {trained} are not in {runs}: it was trained on " in done.err
    assert ("`sngan runs import` here" if host else "set SNGAN_HOME") in done.err
    assert f"not in {runs}" in sngan("runs", "show", trained).out


def test_files_that_a_run_has_outgrown_elsewhere_are_replaced_by_hand(
    sngan: Any, trained: str, home: Path, archive: Path, elsewhere: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNGAN_REGISTRY", str(home / "registry.db"))
    elsewhere()
    with monkeypatch.context() as there:
        there.setattr("socket.gethostname", lambda: "another")
        assert sngan("runs", "import", archive).code == 0
        assert sngan("train", "--resume", trained, "--steps", 6).code == 0
        assert sngan("runs", "export", trained, "-o", home / "later.zip").code == 0
    monkeypatch.setenv("SNGAN_HOME", str(home))
    on = ["train", "--resume", trained, "--steps", 8]
    done = sngan(*on)
    missing = home / "runs" / trained / "checkpoints" / "step-00000006"
    assert done.err == (
        f"error: The checkpoint file {missing} is damaged: the folder is missing. The run was last trained on another. "
        "Use another: --checkpoint 4.\n"
    )
    assert "move the folder away first" in sngan("runs", "import", home / "later.zip").err
    (home / "runs" / trained).rename(home / "before")
    assert sngan("runs", "import", home / "later.zip").code == 0
    assert sngan(*on).code == 0
