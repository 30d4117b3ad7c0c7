"""`sngan train`: from the flags to a recorded run, and on from there."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from sngan_cli import launch, preparation, recording
from sngan_cli.catalog import Catalog
from sngan_cli.engine import checkpoint, device
from sngan_cli.engine import step as step_module
from sngan_cli.engine.loop import Training
from sngan_cli.errors import LostProcessError, WeightsUnavailableError
from sngan_cli.events import Event, Stepped
from sngan_cli.recording import Recorder
from sngan_cli.stopping import StopSignal
from sngan_plugins.architectures import standard
from sngan_plugins.extractors.shapes_cnn import ShapesCnn
from sngan_plugins.losses.hinge import Hinge
from sngan_registry import Status, Store


def pictures(folder: Path, *classes: str, count: int = 6, side: int = 10) -> Path:
    """A folder of plain pictures, one sub-folder a class."""
    for k, name in enumerate(classes or ("",)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", (side, side), (40 * i, 90 * k, 120)).save(folder / name / f"{i}.png")
    return folder


def folder_run(tiny: list[str], place: Path) -> list[str]:
    tiny = [*tiny[4:], "--dataset", "folder", "--data-dir", str(place), "--extractor", "shapes-cnn"]
    return ["train", *tiny, "--steps", "1"]


def test_a_run_is_recorded_with_all_that_it_left(sngan: Any, tiny: list[str], trained: str, home: Path) -> None:
    run = sngan("runs", "show", "tiny", "--json").json
    assert run["id"] == trained
    assert (run["status"], run["step"], run["steps"], run["tags"]) == ("finished", 4, 4, ["test"])
    assert run["started"] <= run["ended"]
    assert {c["role"] for c in run["components"]} == {
        "dataset", "arch_g", "arch_d", "loss", "norm", "norm_g", "extractor", "metrics.is",
    }  # fmt: skip
    assert [s["step"] for s in run["scores"]] == [2, 4]
    assert run["scores"][0]["protocol"].startswith("shapes-cnn@")
    losses = [s["step"] for s in run["scalars"] if s["name"] == "loss_d"]
    assert losses == [1, 2, 3, 4]
    assert [c["step"] for c in run["checkpoints"] if not c["deleted"]] == [2, 4]
    folder = home / "runs" / trained
    for artifact in run["artifacts"]:
        assert (folder / artifact["path"]).stat().st_size == artifact["size"]
    assert tomllib.loads((folder / "config.toml").read_text())["conditional"] is True
    assert '"finished"' in (folder / "run.json").read_text()


def test_a_run_is_scored_by_the_metrics_that_are_named(sngan: Any, tiny: list[str]) -> None:
    chosen = ("--metric", "recall,fid", "--steps", 2)
    run = sngan("train", *tiny, *chosen).out.strip()  # tiny has an option of is, which adds it
    shown = sngan("runs", "show", run, "--json").json
    assert shown["config"]["scored_by"] == ["recall", "fid", "is"]
    assert {score["metric"] for score in shown["scores"]} == {"recall", "fid", "is"}
    assert "scored_by recall,fid,is" in " ".join(sngan("runs", "show", run).out.split())
    assert [found["id"] for found in sngan("runs", "list", "--where", "scored_by=fid", "--json").json] == [run]
    again = tomllib.loads(sngan("train", "--like", run, "--set", "metrics.coverage={}", "--dry-run").out)
    assert again["scored_by"] == list(again["metrics"]) == ["recall", "fid", "is", "coverage"]
    refused = sngan("train", "--resume", run, "--metric", "is")
    assert (refused.code, "cannot be resumed with another" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--metric", ","), "(--metric)"),
        (("--set", "scored_by=,"), "(--set)"),
        (("--metric", "fid", "--set", "scored_by=is"), "--metric fid and --set scored_by choose the same"),
    ],
)
def test_metrics_that_are_none_are_said_to_be_of_who_named_them(
    sngan: Any, tiny: list[str], given: tuple[str, ...], said: str
) -> None:
    refused = sngan("train", *tiny, "--steps", 1, *given)
    assert (refused.code, said in refused.err) == (2, True)


def test_only_the_id_is_printed_on_stdout(sngan: Any, tiny: list[str]) -> None:
    done = sngan("train", *tiny, "--steps", 1)
    assert re.fullmatch(r"[0-9a-z]{8,14}\n", done.out)
    assert "px, 1 step, in" in done.err
    assert re.search(r"finished 1 step, is = \d\.\d+\.", done.err)


def test_what_a_plugin_prints_goes_to_stderr(sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def chatty(self: Hinge, fake_logits: Tensor) -> Tensor:
        print("a loss says something")
        return -fake_logits.mean()

    monkeypatch.setattr(Hinge, "generator", chatty)
    done = sngan("train", *tiny, "--steps", 1)
    assert re.fullmatch(r"[0-9a-z]{8,14}\n", done.out)
    assert "a loss says something\n" in done.err


def test_a_package_of_another_version_is_told_of_and_recorded_on_resuming(sngan: Any, trained: str, home: Path) -> None:
    with Store.open(home / "registry.db") as store, store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE components SET version = '0.0.9' WHERE role IN ('loss', 'norm')")
    done = sngan("train", "--resume", trained, "--steps", 5)
    changes = "steps from 4 to 5, sngan 0.0.9 to sngan 0.1.0"
    assert f"\nchanged from step 4 on: {changes}\n" in done.err
    events = sngan("runs", "show", trained, "--json").json["events"]
    assert any(f"changed: {changes}. Before" in event["message"] for event in events)
    assert "sngan 0.0.9" not in sngan("train", "--resume", trained, "--steps", 6).err  # these are the run's now


def test_a_run_whose_record_lacks_an_option_that_there_is_by_now_is_resumed(
    sngan: Any, trained: str, home: Path
) -> None:
    with Store.open(home / "registry.db") as store, store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET config = json_remove(config, '$.arch_g.linear_norm')")
    done = sngan("train", "--resume", trained, "--steps", 5)
    assert done.code == 0, done.err
    assert sngan("runs", "show", trained, "--json").json["config"]["arch_g"]["linear_norm"] is False
    other = sngan("train", "--resume", trained, "--steps", 6, "--set", "arch_g.linear_norm=true")
    assert (other.code, "cannot be resumed with another arch_g" in other.err) == (2, True)


@pytest.mark.parametrize("units", ["bf16", "fp32"])
def test_the_precision_is_the_device_s_quickest_and_recorded(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch, units: str
) -> None:
    monkeypatch.setattr(preparation, "fastest_precision", lambda device: units)
    run = sngan("train", *tiny, "--steps", 1).out.strip()
    assert sngan("runs", "show", run, "--json").json["config"]["precision"] == units
    given = sngan("train", *tiny, "--steps", 1, "--precision", "fp32").out.strip()
    assert sngan("runs", "show", given, "--json").json["config"]["precision"] == "fp32"
    monkeypatch.setattr(preparation, "fastest_precision", lambda device: "fp32")
    assert sngan("train", "--resume", run, "--steps", 2).code == 0
    assert sngan("runs", "show", run, "--json").json["config"]["precision"] == units


def test_debug_says_what_was_set_for_speed(sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "settle", lambda device: ["glibc keeps freed memory"])
    monkeypatch.delenv("SNGAN_DEBUG", raising=False)
    assert "debug:" not in sngan("train", *tiny, "--steps", 0).err
    monkeypatch.setenv("SNGAN_DEBUG", "1")
    assert "debug: glibc keeps freed memory" in sngan("train", *tiny, "--steps", 0).err


def test_dry_run_prints_a_configuration_that_trains_the_same(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    dry = sngan("train", *tiny, "--steps", 3, "--seed", 5, "--dry-run")
    assert dry.code == 0
    assert sngan("runs", "list", "--json").json == []
    path = tmp_path / "run.toml"
    path.write_text(dry.out)
    again = sngan("train", "--config", path, "--dry-run")
    assert again.out == dry.out
    one, other = sngan("train", *tiny, "--steps", 3, "--seed", 5), sngan("train", "--config", path)
    scalars = [sngan("runs", "show", done.out.strip(), "--json").json["scalars"] for done in (one, other)]
    assert [s["value"] for s in scalars[0]] == [s["value"] for s in scalars[1]]


def test_like_starts_from_another_run_and_remembers_it(sngan: Any, trained: str) -> None:
    done = sngan("train", "--like", trained[:-1], "--steps", 1, "--loss", "cross-entropy")
    run = sngan("runs", "show", done.out.strip(), "--json").json
    assert run["parent"] == trained
    assert run["config"]["loss"]["name"] == "cross-entropy"
    assert run["config"]["arch_g"]["width"] == 0.05


def test_a_finished_run_is_trained_on(sngan: Any, tiny: list[str], trained: str) -> None:
    done = sngan("train", "--resume", "tiny", "--steps", 6, "--set", "keep_every=0")
    assert done.code == 0, done.err
    assert done.out.strip() == trained
    run = sngan("runs", "show", trained, "--json").json
    assert (run["step"], run["steps"], run["status"]) == (6, 6, "finished")
    assert [s["step"] for s in run["scalars"] if s["name"] == "loss_d"] == [1, 2, 3, 4, 5, 6]
    assert any(e["kind"] == "resumed" for e in run["events"])
    present = [c["step"] for c in run["checkpoints"] if not c["deleted"]]
    assert present == [2, 4, 6]  # kept for good, when they were written


def test_settings_that_change_on_the_way_are_said_and_recorded(sngan: Any, trained: str) -> None:
    before = sngan("runs", "show", trained, "--json").json["config"]["precision"]
    other = "fp32" if before == "bf16" else "bf16"
    done = sngan("train", "--resume", trained, "--steps", 5, "--precision", other, "--set", "log_every=1")
    changes = f"steps from 4 to 5, precision from {before} to {other}"
    assert done.err.count(f"\nchanged from step 4 on: {changes}\n") == 1
    assert "changed from" not in sngan("train", "--resume", trained, "--steps", 5, "--checkpoint", 4, "--yes").err
    first, second = told_of_resuming(sngan, trained)
    assert first.startswith(f"Resumed from the checkpoint of step 4; changed: {changes}. Before: ")
    assert "changed" not in second


def told_of_resuming(sngan: Any, run: str) -> list[str]:
    return [e["message"] for e in sngan("runs", "show", run, "--json").json["events"] if e["kind"] == "resumed"]


def test_what_a_resumed_run_was_trained_by_before_stays_on_record(sngan: Any, trained: str, home: Path) -> None:
    first = sngan("runs", "show", trained, "--json").json["environment"]
    assert sngan("train", "--resume", trained, "--steps", 5).code == 0
    with Store.open(home / "registry.db") as store:
        elsewhere = replace(
            store.run(trained).environment, host="far", device="gpu", torch="1", sngan="0", git_commit="c"
        )
        store.claim(trained, elsewhere)
        store.close(trained, Status.INTERRUPTED, step=5)
    assert sngan("train", "--resume", trained, "--steps", 6).code == 0
    assert told_of_resuming(sngan, trained) == [
        f"Resumed from the checkpoint of step 4; changed: steps from 4 to 5. Before: {first['command']}",
        "Resumed from the checkpoint of step 5; changed: steps from 5 to 6. Before (host far, device gpu, torch 1, "
        f"sngan 0, git c): sngan train --resume {trained} --steps 5",
    ]


def test_what_resuming_dropped_is_said_and_recorded(sngan: Any, trained: str) -> None:
    scored = sngan(
        "evaluate", trained, "--protocol", "quick", "--checkpoint", "all", "--metric", "is", "--device", "cpu"
    )
    assert scored.code == 0, scored.err
    assert sngan("train", "--resume", trained, "--steps", 6, "--eval-every", 1).code == 0
    done = sngan("train", "--resume", trained, "--checkpoint", 2, "--steps", 3, "--yes")
    dropped = "dropped: 3 later checkpoints (steps 4 to 6) and 4 later scores, with losses and sheets since"
    assert done.err.count(f"\n{dropped}\n") == 1
    told = told_of_resuming(sngan, trained)
    assert ["dropped" in each for each in told] == [False, True]
    assert f"; {dropped}. Before: " in told[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--steps", "4"], 2, r"already at step 4 of 4: pass a larger --steps"),
        (["--steps", "3"], 2, r"already at step 4 of 3: pass a larger --steps"),
        (["--steps", "9", "--loss", "cross-entropy"], 2, r"cannot be resumed with another loss: .*--like"),
        (["--steps", "9", "--lr", "0.1"], 2, r"cannot be resumed with another lr_d or lr_g"),
        (["--steps", "9", "--checkpoint", "3"], 3, r"no checkpoint '3': choose last, best or one of the steps 2, 4"),
        (["--steps", "9", "--recipe", "seed"], 2, r"--resume keeps a run's settings"),
        (["--epochs", "9"], 2, r"counts steps, 4 so far: give --steps in place of --epochs"),
    ],
)
def test_what_a_resumed_run_cannot_do(sngan: Any, trained: str, arguments: list[str], code: int, message: str) -> None:
    done = sngan("train", "--resume", trained, *arguments)
    assert done.code == code
    assert re.search(message, done.err), done.err
    assert sngan("runs", "show", trained, "--json").json["status"] == "finished"


def test_from_an_earlier_checkpoint_the_later_ones_are_forgotten(
    sngan: Any, trained: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`last` is then the one that the run came to since, not the one that was abandoned."""
    calls = itertools.count()
    monkeypatch.setattr(StopSignal, "__call__", lambda _: next(calls) == 0)
    done = sngan("train", "--resume", trained, "--checkpoint", 2, "--steps", 100, "--yes")
    assert "interrupted after step 3 of 100" in done.err
    monkeypatch.undo()
    monkeypatch.setenv("SNGAN_HOME", str(home))
    assert checkpoint.steps_in(home / "runs" / trained / "checkpoints") == [2, 3]
    shown = sngan("runs", "show", trained, "--json").json
    assert [c["step"] for c in shown["checkpoints"] if not c["deleted"]] == [2, 3]
    assert sngan("train", "--resume", trained, "--steps", 5).code == 0
    assert [s["step"] for s in sngan("runs", "show", trained, "--json").json["scores"]] == [2, 4, 5]


def test_later_checkpoints_are_not_dropped_unasked(sngan: Any, trained: str, home: Path) -> None:
    before = sngan("runs", "show", trained, "--json").json
    refused = sngan("train", "--resume", trained, "--checkpoint", 2)
    assert refused.code == 2
    assert (
        "Dropping 1 later checkpoint (step 4) and 1 later score, with losses and sheets since, needs --yes"
        in refused.err
    )
    assert sngan("runs", "show", trained, "--json").json == before
    assert checkpoint.steps_in(home / "runs" / trained / "checkpoints") == [2, 4]


def test_a_run_knows_its_data(sngan: Any, trained: str, home: Path) -> None:
    shown = sngan("runs", "show", trained, "--json").json
    (told,) = [event["message"] for event in shown["events"] if event["kind"] == "data"]
    state = home / "runs" / trained / "checkpoints" / "step-00000004" / "state.json"
    digest = json.loads(state.read_text())["data_sha256"]
    assert told == f"The data are 20 pictures, SHA-256 {digest}."
    assert shown["data_sha256"] == digest
    assert (
        sngan("runs", "list", "--columns", "id", "--where", f"data_sha256={digest}", "--csv").out == f"id\n{trained}\n"
    )


def test_a_run_that_another_process_trains_on_while_it_is_prepared_for_is_left_as_that_left_it(
    sngan: Any, trained: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = launch.prepare

    def train_meanwhile(*arguments: Any) -> Any:
        with Store.open(home / "registry.db") as other:
            other.claim(trained, replace(other.run(trained).environment, host="there"))
            other.close(trained, Status.INTERRUPTED, step=9)
        return prepare(*arguments)

    monkeypatch.setattr(launch, "prepare", train_meanwhile)
    done = sngan("train", "--resume", trained, "--steps", 5, "--checkpoint", 2, "--yes")
    assert (done.code, f"Run {trained} has been trained to step 9 meanwhile" in done.err) == (1, True)
    run = sngan("runs", "show", trained, "--json").json
    assert (run["status"], run["step"], run["steps"], len(run["scores"])) == ("interrupted", 9, 4, 2)
    assert (run["environment"]["host"], [each["deleted"] for each in run["checkpoints"]]) == ("there", [None, None])
    assert checkpoint.steps_in(home / "runs" / trained / "checkpoints") == [2, 4]


def test_a_run_that_is_taken_over_is_trained_no_further_and_saves_nothing(
    sngan: Any, tiny: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, steps = Recorder.__call__, list[int]()

    def take_over(recorder: Recorder, event: Event) -> None:
        if isinstance(event, Stepped):
            steps.append(event.step)
        if isinstance(event, Stepped) and event.step == 2:
            with Store.open(home / "registry.db") as other:
                run = other.get("@last")
                other.close(run.id, Status.INTERRUPTED, step=2)
                other.claim(run.id, replace(run.environment, host="there"))
        record(recorder, event)

    monkeypatch.setattr(recording, "FLUSH", -1.0)
    monkeypatch.setattr(Recorder, "__call__", take_over)
    done = sngan("train", *tiny, "--steps", 9)
    assert (done.code, "on there" in done.err) == (1, True)
    assert steps == [1, 2, 3]  # the third was being made
    with Store.open(home / "registry.db") as store:
        run = store.get("@last")
    assert (run.status, run.environment.host) == (Status.RUNNING, "there")
    assert checkpoint.steps_in(home / "runs" / run.id / "checkpoints") == []


def test_what_is_gone_back_behind_is_gone_and_told_at_once(
    sngan: Any, trained: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(training: Training) -> None:
        raise LostProcessError("It is gone.")

    monkeypatch.setattr(Training, "run", lost)
    done = sngan("train", "--resume", trained, "--checkpoint", 2, "--steps", 100, "--yes")
    assert f"It is gone. Go on from step 2 with: sngan train --resume {trained}\n" in done.err
    assert "dropped: 1 later checkpoint" in told_of_resuming(sngan, trained)[0]
    assert [path.name for path in (home / "runs" / trained / "checkpoints").iterdir()] == ["step-00000002"]


def test_rates_that_fall_at_once_are_warned_of(sngan: Any, trained: str) -> None:
    assert sngan("train", "--resume", trained, "--steps", 40, "--eval-every", 0).code == 0
    done = sngan("train", "--resume", trained, "--steps", 6, "--checkpoint", 4, "--yes")
    assert done.code == 0, done.err
    assert "they go on at 33% of their first value, where those of 40 steps had come to 90%." in done.err


def test_a_checkpoint_that_the_registry_never_heard_of_is_gone_on_from(sngan: Any, trained: str, home: Path) -> None:
    with Store.open(home / "registry.db") as store, store._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM checkpoints WHERE step = 4")
        connection.exec_driver_sql("UPDATE runs SET status = 'interrupted'")
    done = sngan("train", "--resume", trained, "--steps", 6)
    assert "8 px, 6 steps, on from step 4, in " in done.err, done.err
    assert done.code == 0


def test_a_finished_run_without_a_score_is_scored_when_it_is_resumed(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise WeightsUnavailableError("no weights")

    with monkeypatch.context() as patch:
        patch.setattr(ShapesCnn, "load", unavailable)
        run_id = sngan("train", *tiny, "--steps", 2).out.strip()
    assert sngan("runs", "show", run_id, "--json").json["scores"] == []
    assert sngan("train", "--resume", run_id).code == 0
    assert [s["step"] for s in sngan("runs", "show", run_id, "--json").json["scores"]] == [2]
    assert sngan("train", "--resume", run_id).code == 2


def test_a_run_whose_extractor_has_no_weights_is_unscored_whatever_another_says(sngan: Any, tiny: list[str]) -> None:
    run_id = sngan("train", *tiny, "--steps", 2, "--extractor", "inception-v3").out.strip()
    other = sngan("evaluate", run_id, "--extractor", "shapes-cnn", "--protocol", "quick", "--device", "cpu")
    assert other.code == 0, other.err
    assert f"sngan train --resume {run_id}" in sngan("runs", "show", run_id).out
    before = sngan("runs", "show", run_id, "--json").json
    done = sngan("train", "--resume", run_id)
    assert (done.code, done.out) == (1, "")
    assert "SNGAN_INCEPTION_WEIGHTS" in done.err
    assert done.err.endswith(
        f"error: Run {run_id} is finished, and cannot be scored, as is said above. Once that is mended, score it with: "
        f"sngan train --resume {run_id}\n"
    )
    assert sngan("runs", "show", run_id, "--json").json == before


def test_rates_that_rise_again_are_said(sngan: Any, trained: str) -> None:
    said = sngan("train", "--resume", trained, "--steps", 8).err
    assert "they go on at 50% of their first value, where those of 4 steps had come to 0%" in said


def test_a_run_that_moves_to_another_type_of_device_goes_on(sngan: Any, trained: str, home: Path) -> None:
    folder = checkpoint.folder_of(home / "runs" / trained / "checkpoints", 4)
    state = checkpoint.read_state(folder)
    state["random"] = {"gan": torch.zeros(16, dtype=torch.uint8), "torch": torch.get_rng_state(),
                       "cuda": torch.zeros(16, dtype=torch.uint8)}  # fmt: skip
    written = checkpoint.write(folder.parent, checkpoint.read_progress(folder), state)
    with Store.open(home / "registry.db") as store:
        (record,) = [c for c in store.checkpoints(trained) if c.step == 4]
        store.add_checkpoint(trained, replace(record, sha256=written.sha256))
    done = sngan("train", "--resume", trained, "--steps", 6)
    assert done.code == 0, done.err
    assert "other random numbers than it would have had, since it moved to a cpu device" in done.err


def test_a_busy_run_is_not_prepared_for(sngan: Any, trained: str, home: Path) -> None:
    with Store.open(home / "registry.db") as store:
        store.claim(trained, replace(store.run(trained).environment, host="elsewhere", pid=7))
    done = sngan("train", "--resume", trained, "--steps", 9)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "is being trained by process 7 on elsewhere" in done.err


def test_a_relative_data_dir_is_recorded_whole(
    sngan: Any, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "own", "ant", "bee")
    monkeypatch.chdir(tmp_path)
    run_id = sngan(*folder_run(tiny, Path("own"))).out.strip()
    assert sngan("train", "--resume", run_id, "--data-dir", "own", "--steps", 2).code == 0
    monkeypatch.chdir("/")
    assert sngan("train", "--resume", run_id, "--steps", 3).code == 0
    assert sngan("runs", "show", run_id, "--json").json["config"]["data_dir"] == str(tmp_path / "own")


def test_another_data_set_keeps_neither_place_nor_extractor(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    run_id = sngan(*folder_run(tiny, pictures(tmp_path / "own", "ant", "bee"))).out.strip()
    same, other = (
        tomllib.loads(sngan("train", "--like", run_id, *flags, "--dry-run").out)
        for flags in ([], ["--dataset", "cifar10"])
    )
    assert (same["data_dir"], same["extractor"]["name"]) == (str(tmp_path / "own"), "shapes-cnn")
    assert ("data_dir" in other, other["extractor"]["name"]) == (False, "inception-v3")


def test_a_recipe_may_be_set_like_any_setting(sngan: Any, tiny: list[str]) -> None:
    config = tomllib.loads(sngan("train", *tiny, "--set", "recipe=seed", "--dry-run").out)
    assert (config["recipe"], config["fakes"], config["beta1"]) == ("seed", "reused", 0.5)
    assert "There is no recipe 'sed'" in sngan("train", *tiny, "--set", "recipe=sed", "--dry-run").err


def test_the_checkpoint_of_other_networks_is_refused_and_the_run_stays_as_it_was(
    sngan: Any, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = (
        r"The checkpoint is of another network than sngan_plugins\.architectures\.standard builds now: \d tensors of "
        r"one are not in the other or of another shape, 'deconvs\.2\.weight' to begin with\. Install the version of"
    )
    before = sngan("runs", "show", trained, "--json").json
    on = ["train", "--resume", trained, "--steps", 9]
    with monkeypatch.context() as changed:
        changed.setattr(standard, "_G_CHANNELS", (512, 256, 128, 200))
        for command in (["sample", trained, "-o", "x.png"], ["evaluate", trained], on):
            done = sngan(*command)
            assert (done.code, re.search(message, done.err) is not None) == (1, True), done.err
    assert sngan("runs", "show", trained, "--json").json == before
    assert sngan("train", "--resume", trained, "--steps", 5).code == 0


def test_a_generator_that_fails_when_it_draws_is_named(
    sngan: Any, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("boo")

    monkeypatch.setattr(standard.Generator, "forward", fail)
    for command in (["sample", trained, "-o", "x.png"], ["interpolate", trained, "-o", "x.png"], ["evaluate", trained]):
        done = sngan(*command)
        assert done.code == 1
        assert re.search(
            r"The architecture 'standard' of sngan \S+ failed: ValueError: boo\. Tell its author", done.err
        )


def test_a_run_is_not_resumed_on_other_data_and_stays_as_it_was(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    place = pictures(tmp_path / "own", "ant", "bee")
    run_id = sngan(*folder_run(tiny, place)).out.strip()
    Image.new("RGB", (10, 10), "white").save(place / "ant" / "0.png")
    done = sngan("train", "--resume", run_id, "--steps", 3)
    assert done.code == 1
    assert "The data set is not the one that the run was trained on" in done.err
    run = sngan("runs", "show", run_id, "--json").json
    assert run["status"] == "finished"
    assert run["scalars"]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_offered(sngan: Any, trained: str, home: Path) -> None:
    file = checkpoint.folder_of(home / "runs" / trained / "checkpoints", 4) / "discriminator.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    done = sngan("train", "--resume", trained, "--steps", 6)
    assert done.code == 1
    assert re.search(rf"{re.escape(str(file))} is damaged: its SHA-256 .*Use another: --checkpoint 2\.", done.err)
    assert sngan("sample", trained, "-o", home / "x.png").code == 1
    assert sngan("train", "--resume", trained, "--steps", 6, "--checkpoint", 2, "--yes").code == 0
    run = sngan("runs", "show", trained, "--json").json
    assert [s["step"] for s in run["scalars"] if s["name"] == "loss_d"] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_ends_the_step_saves_and_can_be_resumed(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    original = step_module.update_generator
    calls = iter(range(100))

    def and_stop(*arguments: Any) -> Any:
        if next(calls) == 2:
            os.kill(os.getpid(), number)
        return original(*arguments)

    monkeypatch.setattr(step_module, "update_generator", and_stop)
    done = sngan("train", *tiny, "--steps", 6)
    assert done.code == code, done.err
    run_id = done.out.strip()
    assert re.search(rf"\nstopping at the end of .*\n(.*\n)*interrupted .*: sngan train --resume {run_id}\n", done.err)
    assert done.err.count("stopping at the end of this step") == 1
    run = sngan("runs", "show", run_id, "--json").json
    assert (run["status"], run["step"]) == ("interrupted", 3)
    assert [c["step"] for c in run["checkpoints"]] == [3]
    monkeypatch.setattr(step_module, "update_generator", original)
    assert sngan("train", "--resume", run_id).code == 0
    assert sngan("runs", "show", run_id, "--json").json["status"] == "finished"


@pytest.mark.filterwarnings("default")  # the compiler looks at attributes that warn
@pytest.mark.parametrize("interrupted", [False, True])
def test_compilers_that_a_signal_ends_are_not_to_blame(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    def ended(traced: torch.fx.GraphModule, inputs: object) -> Any:
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        raise RuntimeError("C++ compile error")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=ended))
    monkeypatch.setattr(preparation, "check_compiler", lambda device: None)
    done = sngan("train", *tiny, "--compile", "on")
    run = sngan("runs", "show", done.out.strip(), "--json").json
    if interrupted:
        assert (done.code, run["status"]) == (130, "interrupted")
        assert "stopping at the end of this step; another Ctrl-C or SIGTERM stops at once\n" in done.err
        assert "stopped while torch compiled the networks, without another checkpoint" in done.err
        assert "error" not in done.err
    else:
        assert (done.code, run["status"]) == (1, "failed")
        assert "The networks cannot be compiled (C++ compile error): leave --compile on out." in done.err


def test_a_run_that_diverges_is_recorded_as_failed_and_exits_with_5(sngan: Any, tiny: list[str]) -> None:
    done = sngan("train", *tiny, "--steps", 8, "--lr", "1e30")
    assert done.code == 5
    assert "Training diverged" in done.err
    run = sngan("runs", "list", "--json").json[0]
    assert run["status"] == "failed"
    assert "diverged" in run["reason"]


def test_a_full_disk_fails_the_run_and_leaves_the_last_checkpoint(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint.save_file

    def full(tensors: Any, path: Path) -> None:
        if "step-00000002" in str(path):
            raise OSError(28, "No space left on device")
        write(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    done = sngan("train", *tiny, "--steps", 4, "--checkpoint-every", 1)
    assert done.code == 1
    assert "No space left on device; the checkpoint of step 1 stays" in done.err
    run = sngan("runs", "show", "@last", "--json").json
    assert (run["status"], [c["step"] for c in run["checkpoints"] if not c["deleted"]]) == ("failed", [1])
    monkeypatch.setattr(checkpoint, "save_file", write)
    assert sngan("train", "--resume", "@last").code == 0


def test_without_weights_training_goes_on_and_says_once_how_to_get_them(sngan: Any, tiny: list[str]) -> None:
    done = sngan("train", *tiny, "--steps", 4, "--eval-every", 1, "--extractor", "inception-v3")
    assert done.code == 0
    assert done.err.count("Nothing will be scored") == 1
    assert "SNGAN_INCEPTION_WEIGHTS" in done.err
    shown = sngan("runs", "show", "@last", "--json").json
    assert shown["scores"] == []
    assert [event["kind"] for event in shown["events"]].count("unscored") == 1


def test_pictures_of_ones_own_are_trained_on_by_class(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    done = sngan(*folder_run(tiny, pictures(tmp_path / "own", "ant", "bee")), "--conditional")
    assert done.code == 0, done.err
    assert sngan("sample", "@last", "--class", "bee", "-n", 4, "-o", tmp_path / "bees.png").code == 0


def test_a_broken_picture_is_skipped_counted_and_named(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    place = pictures(tmp_path / "own", "ant", "bee")
    (place / "ant" / "3.png").write_bytes((place / "ant" / "3.png").read_bytes()[:30])
    done = sngan(*folder_run(tiny, place))
    assert done.code == 0
    assert re.search(r"Skipped 1 of 12 pictures, such as ant/3\.png: ", done.err)
    assert any("ant/3.png" in e["message"] for e in sngan("runs", "show", "@last", "--json").json["events"])
    refused = sngan(*folder_run(tiny, place), "--set", "dataset.max_unreadable=0")
    assert refused.code == 1
    assert re.search(r"More than 0 of 12 pictures cannot be read, such as ant/3\.png", refused.err)


def test_epochs_are_passes_of_d_over_the_data(sngan: Any, tiny: list[str]) -> None:
    sngan("train", *tiny, "--epochs", 2)
    run = sngan("runs", "show", "@last", "--json").json
    assert run["steps"] == 2 * 20 // 4
    assert run["config"]["steps"] == 10


def test_epochs_count_the_pictures_that_can_be_read(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    place = pictures(tmp_path / "own", "ant", "bee")
    for name in ("0.png", "1.png", "2.png", "3.png"):
        (place / "ant" / name).write_bytes(b"no picture")
    done = sngan(*folder_run(tiny, place)[:-2], "--epochs", 2, "--batch-size", 2, "--g-batch-size", 2)
    assert done.code == 0, done.err
    assert sngan("runs", "show", "@last", "--json").json["steps"] == 2 * 8 // 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dataset", "shaps"], 3, r"There is no dataset 'shaps'\. Did you mean 'shapes'\?"),
        (["--arch", "resnet"], 3, r"There is no architecture 'resnet'\. Did you mean 'resnet-preact' or"),
        (["--set", "arch.widht=1"], 2, r"no option 'widht' .*Did you mean 'width'\?"),
        (["--set", "arch.width=wide"], 2, r"width = 'wide' cannot be used: input should be a valid number"),
        (["--set", "lr={}"], 2, r"lr_g = \{\} cannot be used: input should be a valid number"),
        (["--set", "sed=1"], 2, r"there is no setting 'sed'\. Did you mean 'seed'"),
        (["--size", "12"], 2, r"cannot be built for 12 pixels\. Nearest sizes: 8, 16, 24"),
        (["--device", "tpu"], 2, r"no device 'tpu'|device 'tpu' is not supported"),
        (["--device", "cuda:7"], 2, r"'cuda:7' is not there"),
        (["--precision", "tf32"], 2, r"'tf32' exists on CUDA devices only"),
        (
            ["--eval-samples", "1"],
            2,
            r"splits = 2 needs two images in each .*, not 1: .* lower --set metrics\.is\.splits",
        ),
        (["--config", "absent.toml"], 3, r"absent\.toml cannot be read"),
        (["--like", "nobody"], 3, r"There is no run 'nobody'"),
        (["--steps", "1", "--epochs", "1"], 2, r"either steps or epochs"),
        (["--steps", "100000000000000000000"], 2, r"steps = 100000000000000000000 cannot be used"),
        (["--set", "steps=true"], 2, r"steps = True cannot be used"),
        (["--set", "arch.leaky_slope=inf"], 2, r"arch_g\.leaky_slope = inf cannot be used: input should be a finite"),
        (["--beta1", "nan"], 2, r"beta1 = nan cannot be used: input should be a finite number"),
        (["--set", "arch.width=inf"], 2, r"arch_g\.width = inf cannot be used"),
        (["--set", "arch=standard", "--set", "arch.width=1"], 2, r"--set arch\.name=\.\.\., or as --arch"),
        (["--checkpoint", "7"], 2, r"--checkpoint 7 says where to go on from: give it together with --resume"),
        (["--data-dir", "x"], 2, r"'shapes' is not read from files: leave --data-dir out"),
        (["--name", "@last"], 2, r"names that begin with @"),
        (["--name", " "], 2, r"--name ' ' is empty"),
        (["--tag", "a\nb"], 2, r"'a\\nb' holds control characters"),
        (["--note", "\udcff"], 2, r"is no valid Unicode"),
        *(
            (
                ["--norm-g", "batch", "--set", "arch_g.linear_norm=true", *few],
                1,
                rf"'standard' cannot be used at 8 px .*batches of {batches}: .*more than 1 value per channel",
            )
            for few, batches in (
                (["--g-batch-size", "1"], "4 and 1"),
                (["--batch-size", "1"], "1 and 4"),
                (["--devices", "4", "--set", "sync_batch_norm=false"], "1 and 1"),
            )
        ),
    ],
)
def test_bad_input_is_named_before_anything_is_recorded(
    sngan: Any, tiny: list[str], arguments: list[str], code: int, message: str
) -> None:
    done = sngan("train", *tiny, *arguments)
    assert done.code == code, done.err
    assert re.search(message, done.err), done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert sngan("runs", "list", "--json").json == []


def test_conditioning_needs_labels(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    done = sngan(*folder_run(tiny, pictures(tmp_path / "flat")), "--conditional")
    assert done.code == 2
    assert (
        "The data set 'folder' has no labels, and --conditional needs some: leave it out, or sort the pictures into two"
        in done.err
    )


def test_data_that_link_to_themselves_are_not_there(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for command in (
        folder_run(tiny, tmp_path / "loop"),
        ["datasets", "prepare", "folder", "--data-dir", tmp_path / "loop"],
    ):
        done = sngan(*command)
        assert (done.code, f"The data folder {tmp_path / 'loop'} does not exist" in done.err) == (3, True)


def test_a_home_that_cannot_be_written_is_noticed_before_training(
    sngan: Any, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    monkeypatch.setenv("SNGAN_HOME", str(tmp_path / "link"))
    done = sngan("train", *tiny, "--steps", 1)
    assert done.code == 2
    assert "Set SNGAN_HOME to one that can" in done.err


def test_what_should_be_known_of_the_pictures_is_said_and_recorded(sngan: Any, tiny: list[str], tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (7, 9)).save(tmp_path / name)
    (tmp_path / "c.heic").touch()
    done = sngan("train", *tiny[4:], "--dataset", "folder", "--data-dir", tmp_path, "--extractor", "shapes-cnn",
                 "--steps", 1, "--batch-size", 3)  # fmt: skip
    assert done.code == 0, done.err
    enlarged = "Enlarged 2 of 2 pictures to 8 px, a.png the most, from 7 px: a smaller --size would enlarge fewer."
    passed_over = "Passed over 1 file of another kind, such as c.heic: read are avif, "
    assert f"warning: {enlarged}\n" in done.err
    assert f"warning: {passed_over}" in done.err
    assert "warning: The data are 2 pictures, and a batch has 3: D will soon know them by heart.\n" in done.err
    told = [event["message"] for event in sngan("runs", "show", "@last", "--json").json["events"]]
    assert enlarged in told
    assert any(each.startswith(passed_over) for each in told)


def test_a_folder_of_runs_that_cannot_be_written_is_noticed_before_there_is_a_run(
    sngan: Any, tiny: list[str], home: Path
) -> None:
    (home / "runs").touch()
    done = sngan("train", *tiny, "--steps", 1)
    assert done.code == 2
    assert "Set SNGAN_HOME to a folder that can" in done.err
    assert sngan("runs", "list", "--json").json == []


def test_an_entry_point_that_is_not_installed_says_to_reinstall(
    sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = Catalog(e for e in Catalog.installed().entries() if e.name != "hinge")
    monkeypatch.setattr(Catalog, "installed", classmethod(lambda cls: without))
    done = sngan("train", *tiny, "--loss", "hinge")
    assert done.code == 3
    assert "in pyproject.toml but not in the installed metadata: reinstall" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--device", "cuda:99"], 2, "The device 'cuda:99' is not there"),
        (["--precision", "tf32"], 2, "The precision 'tf32' exists on CUDA devices only"),
        (["--dataset", "cifar10", "--data-dir", "nowhere"], 3, "nowhere does not exist: give --data-dir"),
        (["--data-dir", "."], 2, "The data set 'shapes' is not read from files"),
        (["--dataset", "folder"], 2, "The data set 'folder' needs --data-dir"),
        (["--dataset", "celeba"], 1, "CelebA must be fetched by hand"),
    ],
)
@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_a_dry_run_is_refused_where_the_run_would_be(
    sngan: Any, tiny: list[str], home: Path, arguments: list[str], code: int, said: str, dry_run: list[str]
) -> None:
    done = sngan("train", *tiny[:2], "--device", "cpu", *arguments, *dry_run)
    assert (done.code, done.out, said in done.err) == (code, "", True), done.err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--resume", "nobody"],
        ["runs", "import", "nowhere.zip"],
        ["experiments", "run", "cifar10-resnet", "--case", "99"],
        ["experiments", "run", "cifar10-resnet", "--dataset", "folder", "--data-dir", "nowhere"],
        ["extractors", "train", "mine", "--dataset", "nope"],
        ["extractors", "train", "mine", "--dataset", "folder", "--data-dir", "nowhere"],
        ["evaluate", "--images", "nowhere"],
        ["evaluate", "--images", "nowhere", "--against", "shapes"],
    ],
)
def test_no_registry_is_made_for_what_is_not_there(sngan: Any, home: Path, arguments: list[str]) -> None:
    assert sngan(*arguments).code == 3
    assert list(home.iterdir()) == []
