"""Checkpoints are whole or absent, and what was damaged is never used."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sngan_cli.disk import exchange
from sngan_cli.engine import checkpoint
from sngan_cli.engine.checkpoint import Progress
from sngan_cli.engine.checkpoint_folder import Fault, fault
from sngan_cli.errors import CheckpointError

STATE = {"generator": {"weight": torch.arange(6.0).view(2, 3)}, "random": {"torch": torch.arange(5, dtype=torch.uint8)}}


def progress(step: int) -> Progress:
    return Progress(step=step, drawn=step * 10, data_sha256="d" * 64, class_names=None, best_step=1, best_value=2.5)


def test_the_manifest_names_every_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    written = checkpoint.write(tmp_path, progress(7), STATE)
    assert written.folder == tmp_path / "step-00000007"
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000007"]
    manifest = json.loads((written.folder / "manifest.json").read_text())
    assert set(manifest) == {"generator.safetensors", "random.safetensors", "state.json"}
    assert written.size == sum(p.stat().st_size for p in written.folder.iterdir())
    checkpoint.verify(written.folder, written.sha256)
    assert checkpoint.read_progress(written.folder) == progress(7)


def test_a_second_checkpoint_of_a_step_replaces_the_first(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, progress(7), STATE)
    other = {"generator": {"weight": torch.zeros(1)}}
    checkpoint.write(tmp_path, progress(7), other)
    assert checkpoint.steps_in(tmp_path) == [7]
    assert torch.equal(
        checkpoint.read_tensors(checkpoint.folder_of(tmp_path, 7), "generator")["weight"], torch.zeros(1)
    )


def test_a_checkpoint_is_there_while_the_one_that_it_replaces_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(tmp_path, progress(7), STATE)
    there: list[list[int]] = []
    monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda *_, **__: there.append(checkpoint.steps_in(tmp_path)))
    checkpoint.write(tmp_path, progress(7), STATE)
    assert there
    assert all(steps == [7] for steps in there)


def test_a_checkpoint_is_on_the_disk_before_it_bears_its_name_and_its_name_before_the_former_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = checkpoint.write(tmp_path, progress(7), STATE).folder
    files = {path.name for path in former.iterdir()}
    done: list[tuple[str, str]] = []

    def noting(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def note(path: Path, *given: object, **named: object) -> Any:
            done.append((what, path.name))
            return work(path, *given, **named)

        return note

    monkeypatch.setattr(checkpoint, "flush", noting("flush", checkpoint.flush))
    monkeypatch.setattr(checkpoint, "exchange", noting("name", checkpoint.exchange))
    monkeypatch.setattr(checkpoint.shutil, "rmtree", noting("delete", shutil.rmtree))
    checkpoint.write(tmp_path, progress(7), STATE)
    partial = f".step-00000007.{os.getpid()}.partial"
    named = done.index(("name", partial))
    assert {*done[:named]} == {("flush", name) for name in (*files, partial)}
    assert done[named - 1] == ("flush", partial)
    assert done[named + 1] == ("flush", tmp_path.name)
    assert [what for what, _ in done[named + 2 :]] == ["delete", "delete"]


def test_what_killed_processes_left_is_cleared_away_by_the_next_checkpoint(tmp_path: Path) -> None:
    for leftover in (".step-00000003.9.partial", ".step-00000002.removed"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "state.json").write_text("{}")
    checkpoint.write(tmp_path, progress(7), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000007"]


DYING = """
import itertools, os, sys
from pathlib import Path
import torch
from sngan_cli.engine import checkpoint

def replace(place, calls):
    def dying(work):
        def die_or_do(*given, **named):
            nonlocal calls
            calls -= 1
            if calls < 0:
                os._exit(7)
            return work(*given, **named)
        return die_or_do

    progress = checkpoint.Progress(step=7, drawn=0, data_sha256="", class_names=None)
    checkpoint.write(place, progress, {"generator": {"weight": torch.zeros(1)}})
    Path.rename, checkpoint.exchange, checkpoint.flush, checkpoint.shutil.rmtree = map(
        dying, (Path.rename, checkpoint.exchange, checkpoint.flush, checkpoint.shutil.rmtree)
    )
    checkpoint.write(place, progress, {"generator": {"weight": torch.ones(1)}})

for calls in itertools.count():
    if not (child := os.fork()):
        replace(Path(sys.argv[1], str(calls)), calls)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_a_process_that_is_killed_while_it_replaces_a_checkpoint_leaves_a_whole_one(tmp_path: Path) -> None:
    names = [tmp_path / "one", tmp_path / "other"]
    for folder in names:
        folder.mkdir()
    if not exchange(*names):
        pytest.skip("the file system cannot exchange two names in one step")
    subprocess.run([sys.executable, "-c", DYING, tmp_path / "killed"], check=True)
    left = []
    for calls in range(len([*(tmp_path / "killed").iterdir()])):  # after so many it was killed, the last one never
        folder = checkpoint.folder_of(tmp_path / "killed" / str(calls), 7)
        checkpoint.verify(folder, None)
        left.append(checkpoint.read_tensors(folder, "generator")["weight"].item())
    assert left == sorted(left)
    assert (left[0], left[-1], len(left) > 6) == (0, 1, True)


def test_where_names_cannot_be_exchanged_a_checkpoint_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "exchange", lambda one, other: False)
    checkpoint.write(tmp_path, progress(7), STATE)
    checkpoint.write(tmp_path, progress(7), {"generator": {"weight": torch.zeros(1)}})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000007"]
    assert checkpoint.read_tensors(tmp_path / "step-00000007", "generator")["weight"].tolist() == [0]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("random.safetensors", lambda p: p.write_bytes(b"x" + p.read_bytes()[1:]), r"random\.\w+ is damaged: its SHA"),
        ("random.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-1]), r"random\.\w+ is damaged: it has \d+"),
        ("state.json", lambda p: p.unlink(), r"state\.json is damaged: the file is missing"),
        ("manifest.json", lambda p: p.write_text("{}"), r"manifest\.json is damaged: its SHA-256"),
        ("manifest.json", lambda p: p.unlink(), r"manifest\.json is damaged: the file is missing"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, file: str, damage: object, message: str) -> None:
    written = checkpoint.write(tmp_path, progress(7), STATE)
    damage(written.folder / file)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        checkpoint.verify(written.folder, written.sha256)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is no manifest"),
        ("{}", "it is no manifest"),
        ('{"state.json": 3}', "it is no manifest"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path: Path, manifest: str, why: str) -> None:
    written = checkpoint.write(tmp_path, progress(7), STATE)
    (written.folder / "manifest.json").write_text(manifest)
    assert fault(written.folder, None) == Fault(written.folder / "manifest.json", why)


def test_sizes_alone_can_be_looked_at(tmp_path: Path) -> None:
    written = checkpoint.write(tmp_path, progress(7), STATE)
    path = written.folder / "random.safetensors"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert fault(written.folder, written.sha256, digest=None) is None
    hashed: list[Path] = []
    found = fault(written.folder, written.sha256, digest=lambda file: hashed.append(file) or "0" * 64)
    assert found == Fault(hashed[0], f"its SHA-256 is 000000000000..., written was {sha256_of_manifest(hashed[0])}...")


def sha256_of_manifest(path: Path) -> str:
    """The first digits of a file's SHA-256 as the manifest beside it has them."""
    digits: str = json.loads((path.parent / "manifest.json").read_text())[path.name]["sha256"][:12]
    return digits


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"step-00000003 is damaged: the folder is missing"):
        checkpoint.verify(checkpoint.folder_of(tmp_path, 3), None)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = checkpoint.write(tmp_path, progress(4), STATE)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "flush", full)
    with pytest.raises(CheckpointError, match=r"step 8 .*No space left on device; the checkpoint of step 4 stays"):
        checkpoint.write(tmp_path, progress(8), STATE)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000004"]
    checkpoint.verify(good.folder, good.sha256)


def test_a_full_disk_does_not_lose_the_checkpoint_that_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = checkpoint.write(tmp_path, progress(4), STATE)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="there is no earlier checkpoint"):
        checkpoint.write(tmp_path, progress(4), STATE)
    checkpoint.verify(good.folder, good.sha256)


def test_removal_leaves_nothing(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, progress(1), STATE)
    checkpoint.write(tmp_path, progress(2), STATE)
    checkpoint.remove(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000002"]


def test_a_checkpoint_is_in_no_list_while_it_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(tmp_path, progress(1), STATE)
    there: list[tuple[bool, list[int]]] = []

    def deleted(path: Path, **_: object) -> None:
        there.append((path.exists(), checkpoint.steps_in(tmp_path)))

    monkeypatch.setattr(checkpoint.shutil, "rmtree", deleted)
    checkpoint.remove(tmp_path, 1)
    assert [steps for exists, steps in there if exists] == [[]]


def test_a_removal_that_was_interrupted_does_not_keep_the_checkpoint_from_being_removed_again(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, progress(1), STATE)
    shutil.copytree(tmp_path / "step-00000001", tmp_path / ".step-00000001.removed")
    checkpoint.remove(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
