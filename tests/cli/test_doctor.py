"""`sngan runs doctor`: what is printed of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sngan_registry import Environment, NewRun, Scalar, Score, Status, Store

RECORDED = Path(__file__).parents[1] / "data" / "runs"
ENVIRONMENT = Environment(
    sngan="0.1.0", python="3.11", torch="2.15", cuda=None, device="cpu", host="elsewhere", pid=1, git_commit=None,
    command="sngan train",
)  # fmt: skip


def restore(home: Path, name: str, **changed: Any) -> str:
    """Put a recorded run into the registry; returns its new id."""
    held = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    with Store.open(home / "registry.db") as store:
        run = store.create_run(
            NewRun(config={**held["config"], **changed}, components=(), environment=ENVIRONMENT, seed=0,
                   steps=held["steps"], name=name)
        )  # fmt: skip
        store.claim(run.id, ENVIRONMENT)
        for curve, points in held["scalars"].items():
            store.add_scalars(run.id, [Scalar(name=curve, step=step, value=value) for step, value in points])
        for score in held["scores"]:
            store.add_score(run.id, Score(**score))
        store.close(run.id, Status(held["status"]), step=held["step"], reason=held["reason"])
    return run.id


def test_a_run_is_told_in_plain_words(sngan: Any, home: Path) -> None:
    run = restore(home, "pinned-cross-entropy")
    done = sngan("runs", "doctor", run)
    assert (done.code, done.err) == (0, "")
    heading, _, message, remedy, _, alike, _, _, note = done.out.splitlines()
    assert heading == f"run {run} (pinned-cross-entropy): finished, step 2000 of 2000"
    assert message.startswith("pinned: Since step 1, and still at step 2000, D's loss has stood at 1.386")
    assert f"`sngan train --like {run}` with `--n-dis 5`" in remedy
    assert alike.startswith("alike: `is` ")
    assert note == "Collapse was not looked for: no checkpoint is on disk to measure it by."
    assert "\x1b" not in done.out


def test_several_runs_get_a_heading_each(sngan: Any, home: Path) -> None:
    ids = [restore(home, name) for name in ("healthy", "diverged")]
    done = sngan("runs", "doctor", "healthy", ids[1], ids[0])  # a run that is named twice is told once
    assert done.code == 0
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("run ")] == ids
    assert "healthy: Nothing ill was found." in done.out
    assert "diverged: A loss or weight became NaN" in done.out


def test_json_has_the_figures(sngan: Any, home: Path) -> None:
    ids = [restore(home, "won-cross-entropy"), restore(home, "short")]
    won, short = sngan("runs", "doctor", *ids, "--json").json
    assert [won["id"], short["id"]] == ids
    assert [(f["kind"], f["step"]) for f in won["findings"]] == [("won", 440), ("falling", 750)]
    assert set(won["findings"][0]) == {"kind", "step", "message", "remedy", "figures"}
    assert won["findings"][1]["figures"]["last"] == pytest.approx(1.061, abs=1e-3)
    assert [f["kind"] for f in short["findings"]] == ["untold"]
    assert short["findings"][0]["figures"] == {"readings": 11}
    assert short["not_looked_for"]


def test_a_run_just_trained(sngan: Any, trained: str) -> None:
    done = sngan("runs", "doctor", "@last")
    assert done.code == 0
    assert "untold: Too little is known to say anything: D's loss was recorded 4 times up to step 4" in done.out


def test_a_run_that_is_being_trained_is_told_by_its_last_losses(sngan: Any, home: Path) -> None:
    """Its own step is that of the last heartbeat, which its losses are ahead of."""
    run = restore(home, "short")
    with Store.open(home / "registry.db") as store:
        store.claim(run, ENVIRONMENT)
        store.rewind(run, 0)
        store.add_scalars(run, [Scalar(name="loss_d", step=step, value=2.0) for step in (1, 10, 20)])
    heading, _, message, remedy, *_ = sngan("runs", "doctor", run).out.splitlines()
    assert heading == f"run {run} (short): running, step 20 of 100"
    assert "D's loss was recorded 3 times up to step 20; it takes 50" in message
    assert remedy == f"It is not trained to its end yet: wait, or follow it with `sngan runs watch {run}`."


def test_a_loss_that_is_not_installed_here_is_said(sngan: Any, home: Path) -> None:
    run = restore(home, "pinned-hinge", loss={"name": "gone", "margin": 1})
    done = sngan("runs", "doctor", run)
    assert done.code == 0
    assert "pinned:" not in done.out
    assert "the loss 'gone' cannot be computed here" in done.out


def test_a_run_that_does_not_exist(sngan: Any, home: Path) -> None:
    done = sngan("runs", "doctor", "nobody")
    assert (done.code, done.out) == (3, "")
    assert "There is no run 'nobody'" in done.err
