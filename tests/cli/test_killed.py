"""A run whose process is killed is gone on from as if it had not been: nothing of its record is missing or double."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sngan_plugins.metrics.inception_score import Splits

KILLED = """
import os, signal, sys
import torch
from sngan_cli.app import main
from sngan_cli.recording import Recorder

torch.set_num_threads(1)  # as in the process of the tests, to round as it does
of_kind, of_step, *arguments = sys.argv[1:]
record = Recorder.__call__

def record_or_die(self, event):
    if "AWAY" in os.environ and event.step == 1:
        os.rename(os.environ["SNGAN_HOME"] + "/registry.db", os.environ["AWAY"])
    if (type(event).__name__, event.step) == (of_kind, int(of_step)):
        os.kill(os.getpid(), signal.SIGKILL)
    record(self, event)

Recorder.__call__ = record_or_die
sys.argv = ["sngan", *arguments]
main()
"""


@pytest.mark.parametrize(
    ("kind", "step"), [("Saving", 4), ("CheckpointWritten", 4), ("CheckpointRemoved", 2), ("SamplesDrawn", 4)]
)
def test_a_run_that_is_killed_around_a_checkpoint_loses_nothing(
    sngan: Any, tiny: list[str], kind: str, step: int
) -> None:
    arguments = ["train", *tiny, "--steps", "6", "--checkpoint-every", "2"]
    whole = sngan(*arguments).out.strip()
    resumed = killed(kind, step, *arguments)
    check_resumed(sngan, resumed, whole)


def test_a_run_that_is_killed_while_its_registry_is_away_loses_nothing(
    sngan: Any, tiny: list[str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", *tiny, "--steps", "6", "--checkpoint-every", "2", "--eval-every", "2"]
    whole = sngan(*arguments).out.strip()
    monkeypatch.setenv("AWAY", str(tmp_path / "away.db"))
    resumed = killed("Saving", 6, *arguments)
    (tmp_path / "away.db").rename(home / "registry.db")
    monkeypatch.delenv("AWAY")
    check_resumed(sngan, resumed, whole)


def test_a_checkpoint_that_was_replaced_by_a_process_that_is_killed_before_it_records_that_is_gone_on_from(
    sngan: Any, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", *tiny, "--steps", "4", "--checkpoint-every", "2"]
    whole = sngan(*arguments).out.strip()
    with monkeypatch.context() as patched:
        patched.setattr(Splits, "result", lambda self: 1 / 0)
        resumed = sngan(*arguments).out.strip()
    assert killed("CheckpointWritten", 4, "train", "--resume", resumed) == resumed  # scored now, and saved with that
    packed = sngan("runs", "export", resumed, "-o", tmp_path / "run.zip")
    assert packed.code == 0, packed.err
    check_resumed(sngan, resumed, whole)


def test_a_score_that_a_killed_run_had_not_saved_yet_is_made_again_unasked(sngan: Any, tiny: list[str]) -> None:
    arguments = ["train", *tiny, "--steps", "4", "--checkpoint-every", "2", "--eval-every", "2"]
    whole = sngan(*arguments).out.strip()
    resumed = killed("Saving", 4, *arguments)
    assert [score["step"] for score in sngan("runs", "show", resumed, "--json").json["scores"]] == [2, 4]
    check_resumed(sngan, resumed, whole)


def test_checkpoints_that_were_dropped_are_gone_once_the_run_goes_on_from_an_earlier_one(
    sngan: Any, tiny: list[str], home: Path
) -> None:
    run_id = sngan("train", *tiny, "--steps", 4, "--checkpoint-every", 1, "--set", "keep_every=1").out.strip()
    killed("Stepped", 3, "train", "--resume", run_id, "--checkpoint", "2", "--yes", "--steps", "5")
    checkpoints = home / "runs" / run_id / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000001", "step-00000002"]


def test_a_run_that_is_killed_before_its_first_checkpoint_says_how_to_begin_again(sngan: Any, tiny: list[str]) -> None:
    run_id = killed("Saving", 2, "train", *tiny, "--steps", "2")
    done = sngan("train", "--resume", run_id)
    said = f"error: Run {run_id} (lost) has no checkpoint yet. `sngan train --like {run_id}` begins it again.\n"
    assert (done.code, done.err) == (3, said)


def check_resumed(sngan: Any, run_id: str, whole: str) -> None:
    """Resume a run, and see that it then is as one that was never stopped."""
    done = sngan("train", "--resume", run_id)
    assert done.code == 0, done.err
    assert remembered(sngan, run_id) == remembered(sngan, whole)
    checked = sngan("registry", "check", "--hashes")
    assert checked.code == 0, checked.out


def killed(kind: str, step: int, *arguments: str) -> str:
    """Begin a run in a process that is killed before it records the event of that kind and step; returns its id."""
    command = [sys.executable, "-c", KILLED, kind, str(step), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


def remembered(sngan: Any, run_id: str) -> dict[str, Any]:
    """What is recorded of a run that does not depend on when it was trained."""
    run = sngan("runs", "show", run_id, "--json").json
    return {
        "curves": [(each["name"], each["step"], each["value"]) for each in run["scalars"]],
        "scores": [(each["metric"], each["step"], each["value"]) for each in run["scores"]],
        "checkpoints": [(each["step"], each["sha256"], each["deleted"] is None) for each in run["checkpoints"]],
        "sheets": [(each["path"], each["sha256"]) for each in run["artifacts"] if each["kind"] == "samples"],
    }
