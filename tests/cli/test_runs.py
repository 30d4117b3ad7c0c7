"""`sngan runs`: tables, filters, orders, and everything that is known of one run."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import console
from sngan_cli.run_table import in_hours
from sngan_registry import Artifact, Checkpoint, Component, Environment, Event, NewRun, Score, Status, Store

ENVIRONMENT = Environment(
    sngan="0.1.0", python="3.11", torch="2.15", cuda=None, device="cpu", host="elsewhere", pid=1,
    git_commit="abc123", command="sngan train --dataset shapes",
)  # fmt: skip


def add_run(
    store: Store,
    name: str | None = None,
    *,
    is_score: float | None = None,
    metric: str = "is",
    protocol: str = "a n=10",
    protocol_name: str | None = None,
    weights_of_g: str | None = None,
    **settings: Any,
) -> str:
    tags = settings.pop("tags", ())
    config = {"n_dis": 5, "conditional": False, "size": 32, "metrics": {"is": {"splits": 10}}, **settings}
    names = {"dataset": "shapes", "arch_g": "standard", "arch_d": "standard", "loss": "hinge", "norm": "spectral"}
    names |= {role: settings[role] for role in names if role in settings}
    components = tuple(
        Component(role=role, name=value, distribution="sngan", version="0.1.0", options={})
        for role, value in names.items()
    )
    run = store.create_run(
        NewRun(config=config, components=components, environment=ENVIRONMENT, seed=0, steps=100, name=name, tags=tags)
    )
    store.claim(run.id, ENVIRONMENT)
    if is_score is not None:
        store.add_score(
            run.id,
            Score(metric=metric, step=100, value=is_score, std=0.25, higher_is_better=True, protocol=protocol,
                  evidence={"extractor": "shapes-cnn", "weights_sha256": "f" * 64, "images": 10,
                            **({"protocol name": protocol_name} if protocol_name else {}),
                            **({"generator_weights": weights_of_g} if weights_of_g else {})}),
        )  # fmt: skip
    store.close(run.id, Status.FINISHED, step=100)
    return run.id


@pytest.fixture
def store(home: Path) -> Any:
    with Store.open(home / "registry.db") as opened:
        yield opened


def test_no_runs_yet_is_a_friendly_word_and_an_empty_list(sngan: Any, home: Path) -> None:
    done = sngan("runs", "list")
    assert (done.code, done.out) == (0, "")
    assert "start one with `sngan train --dataset shapes`" in done.err
    assert sngan("runs", "list", "--json").json == []
    assert list(home.iterdir()) == []


def test_runs_are_listed_newest_first_and_nothing_is_cut_in_a_pipe(sngan: Any, store: Store) -> None:
    first, second = add_run(store, "a" * 60), add_run(store, arch_d="resnet-preact")
    lines = sngan("runs", "list").out.splitlines()
    rows = [line for line in lines if first in line or second in line]
    assert second in rows[0]
    assert "standard/resnet-preact" in rows[0]
    assert "a" * 60 in rows[1]
    assert " 100  finished" in rows[1]


def test_sorting_by_score_stays_within_one_protocol_and_marks_the_others(sngan: Any, store: Store) -> None:
    low, high = add_run(store, "low", is_score=2.0), add_run(store, "high", is_score=3.0)
    other, none = add_run(store, "other", is_score=9.0, protocol="b n=99"), add_run(store, "none")
    done = sngan("runs", "list", "--sort", "is")
    order = [run for line in done.out.splitlines() for run in (low, high, other, none) if run in line]
    assert order == [high, low, other, none]
    assert "9.000*" in done.out
    assert "3.000 " in done.out
    assert "is: best of the run, by a n=10" in done.err
    assert "* measured by another protocol, not comparable" in done.err
    reverse = sngan("runs", "list", "--sort", "is", "--reverse", "--json").json
    assert [run["id"] for run in reverse][:2] == [low, high]


def test_protocols_are_called_by_name(sngan: Any, store: Store) -> None:
    run = add_run(store, is_score=2.0, protocol="a n=5000", protocol_name="quick")
    assert "is: best of the run, by quick (a n=5000)\n" in sngan("runs", "list", "--sort", "is").err
    (row,) = csv.DictReader(io.StringIO(sngan("runs", "list", "--csv").out))
    assert (row["is.protocol"], row["is.protocol.name"]) == ("a n=5000", "quick")
    assert "quick" in sngan("runs", "show", run).out


def test_a_metric_that_is_called_as_a_column_leaves_it_as_it_is(sngan: Any, store: Store) -> None:
    add_run(store, is_score=2.0, metric="step")
    add_run(store)
    done = sngan("runs", "list", "--csv")
    assert [row["step"] for row in csv.DictReader(io.StringIO(done.out))] == ["100", "100"]
    assert done.err == ""


def test_sorting_by_protocol_has_one_after_the_other(sngan: Any, store: Store) -> None:
    low, none = add_run(store, is_score=2.0), add_run(store)
    other, high = add_run(store, is_score=9.0, protocol="b n=99"), add_run(store, is_score=3.0)
    for key in ("is.protocol", "is.protocol.name", "is"):
        done = sngan("runs", "list", "--sort", key, "--columns", "id,is.protocol", "--csv")
        assert done.out.split("\n")[1:-1] == [f"{high},a n=10", f"{low},a n=10", f"{other},b n=99", f"{none},"]


def test_a_run_is_shown_with_the_score_that_it_is_placed_by(sngan: Any, store: Store) -> None:
    for _ in range(4):
        add_run(store, is_score=1.0, protocol="most used")
    for value in (5.0, 6.0):
        add_run(store, is_score=value, protocol="b second")
    both = add_run(store, is_score=5.5, protocol="b second")
    more = Score(metric="is", step=1, value=0.5, std=None, higher_is_better=True, protocol="a rare", evidence={})
    store.add_score(both, more)
    done = sngan("runs", "list", "--sort", "is", "--csv", "--columns", "is,is.protocol")
    assert done.out.split("\n")[5:-1] == ["6.0,b second", "5.5,b second", "5.0,b second"]


def test_csv_of_several_protocols_says_so(sngan: Any, store: Store) -> None:
    add_run(store, is_score=2.0)
    assert "another protocol" not in sngan("runs", "list", "--csv", "--columns", "id,is").err
    add_run(store, is_score=9.0, protocol="b n=99")
    said = "is: some are by another protocol, not comparable: add is.protocol to --columns"
    assert said in sngan("runs", "list", "--csv", "--columns", "id,is").err
    assert said not in sngan("runs", "list", "--csv", "--columns", "id,is,is.protocol").err


def test_filters(sngan: Any, store: Store) -> None:
    one = add_run(store, n_dis=1, dataset="stl10", tags=("x", "y"))
    add_run(store)
    for arguments in (
        ["--where", "n_dis=1"], ["--where", "dataset=stl10"], ["--tag", "x"], ["--tag", "x", "--tag", "y"],
        ["--where", "dataset=stl10", "--where", "conditional=false", "--status", "finished"],
    ):  # fmt: skip
        assert [run["id"] for run in sngan("runs", "list", "--json", *arguments).json] == [one], arguments
    assert sngan("runs", "list", "--json", "--status", "failed").json == []
    assert len(sngan("runs", "list", "--json", "--limit", 1).json) == 1
    assert "No run matches" in sngan("runs", "list", "--tag", "z").err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--where", "nonsense=1"], 2, "No run has a setting 'nonsense'"),
        (["--where", "n_dis=1", "--where", "n_dis=2"], 2, "--where n_dis is given twice"),
        (["--where", "n_dis=many"], 2, "n_dis = 'many' cannot be asked for: n_dis is a number, such as 5"),
        (["--where", "conditional=maybe"], 2, "conditional = 'maybe' cannot be asked for: conditional is yes or no"),
        (["--where", "n_dis"], 2, "--where 'n_dis' is not KEY=VALUE"),
        (["--sort", "colour"], 2, "Runs cannot be sorted by 'colour'"),
        (["--columns", "id,datset"], 2, "There is no column 'datset'. Did you mean 'dataset'"),
        (["--status", "asleep"], 2, "asleep"),
        (["--limit", "0"], 2, "--limit"),
        (["--json", "--csv"], 2, "--json and --csv cannot be printed at once"),
    ],
)
def test_bad_questions(sngan: Any, store: Store, arguments: list[str], code: int, message: str) -> None:
    add_run(store)
    done = sngan("runs", "list", *arguments)
    assert done.code == code, done.err
    assert message in done.err


def test_columns_and_csv(sngan: Any, store: Store) -> None:
    run = add_run(store, 'a "quoted", name', is_score=2.5)
    done = sngan("runs", "list", "--csv", "--columns", "id,name,n_dis,size,is")
    assert list(csv.reader(io.StringIO(done.out))) == [
        ["id", "name", "n_dis", "size", "is"],
        [run, 'a "quoted", name', "5", "32", "2.5"],
    ]


def test_csv_names_the_protocol_behind_each_score(sngan: Any, store: Store) -> None:
    add_run(store, "x", is_score=2.5, protocol="p n=1")
    (row,) = csv.DictReader(io.StringIO(sngan("runs", "list", "--csv").out))
    assert (row["is"], row["is.protocol"], row["step"]) == ("2.5", "p n=1", "100")


def test_best_is_the_first_line_of_the_table(sngan: Any, store: Store) -> None:
    for value in (3.0, 2.0):
        add_run(store, is_score=value, protocol="usual")
    add_run(store, is_score=9.0, protocol="a probe")
    best = sngan("runs", "list", "--sort", "is", "--json").json[0]
    assert best["best"][0]["value"] == 3.0
    assert sngan("runs", "show", "@best", "--json").json["id"] == best["id"]


def test_runs_are_sorted_by_any_column(sngan: Any, store: Store) -> None:
    for n_dis in (5, 1, 3):
        add_run(store, n_dis=n_dis)
    rows = sngan("runs", "list", "--sort", "n_dis", "--columns", "n_dis,arch,cond", "--csv").out.split()
    assert rows == ["n_dis,arch,cond", "1,standard,no", "3,standard,no", "5,standard,no"]
    assert all(sngan("runs", "list", "--sort", column).code == 0 for column in ("age", "cond", "arch"))


def test_scores_that_are_no_numbers_are_null_in_json(sngan: Any, store: Store) -> None:
    add_run(store, "x", is_score=float("nan"))
    assert "NaN" not in sngan("runs", "list", "--json").out
    assert sngan("runs", "show", "x", "--json").json["scores"][0]["value"] is None


def test_folders_to_take_in_are_spoken_of_where_nothing_is_recorded(sngan: Any, store: Store, home: Path) -> None:
    (home / "runs" / "1").mkdir(parents=True)
    (home / "runs" / "1" / "run.json").touch()
    for arguments in ([], ["--tag", "z"]):
        assert "`sngan registry rebuild` takes them in" in sngan("runs", "list", *arguments).err
    add_run(store)
    assert sngan("runs", "list", "--where", "dataset=nosuch").err == "No run matches.\n"


def test_metrics_are_those_of_the_runs_that_are_shown(sngan: Any, store: Store) -> None:
    for k, first in enumerate(("kid", "fid", "fid")):
        run = add_run(store, metrics={first: {}, "is": {}}, is_score=1.0)
        add_series(store, run, first, [2.0])
        if k == 0:
            add_series(store, run, "coverage", [0.5])
    heads = [sngan("runs", "list", "-n", n).out.split("\n")[0].split()[8:-1] for n in (1, 2, 3)]
    assert heads == [["fid", "is"], ["fid", "is"], ["fid", "kid", "coverage", "is"]]
    assert "kid" not in sngan("runs", "list", "-n", 1).err
    none = sngan("runs", "list", "-n", 1, "--columns", "id,kid")
    assert (none.code, none.out.split("\n")[0].split()) == (0, ["id", "kid"])


def test_protocols_are_marked_among_the_runs_that_are_shown(sngan: Any, store: Store) -> None:
    for _ in range(2):
        add_run(store, is_score=1.0)
    add_run(store, is_score=2.0, protocol="b n=99")
    assert "2.000*" in sngan("runs", "list").out
    alone = sngan("runs", "list", "-n", 1)
    assert "2.000 " in alone.out
    assert alone.err == "is: best of the run, by b n=99\n"


def test_a_file_has_times_and_a_screen_has_ages(sngan: Any, store: Store) -> None:
    run = store.run(add_run(store))
    (row,) = csv.DictReader(io.StringIO(sngan("runs", "list", "--csv").out))
    assert row["created"] == run.created.isoformat(timespec="seconds")
    assert "age" not in row
    assert sngan("runs", "list").out.split("\n")[0].split()[-1] == "age"


def test_columns_of_the_training(sngan: Any, store: Store) -> None:
    run = store.run(add_run(store, device="auto"))
    assert run.started
    assert run.ended
    columns = ["created", "started", "ended", "duration", "device", "host", "torch", "command"]
    done = sngan("runs", "list", "--csv", "--columns", ",".join(columns))
    (row,) = csv.DictReader(io.StringIO(done.out))
    times = [moment.isoformat(timespec="seconds") for moment in (run.created, run.started, run.ended)]
    duration = str((run.ended - run.started).total_seconds())
    assert list(row.values()) == [*times, duration, "cpu", "elsewhere", "2.15", "sngan train --dataset shapes"]
    local = f"{run.ended.astimezone():%Y-%m-%d %H:%M:%S}"
    assert sngan("runs", "list", "--columns", "ended,duration").out.split("\n")[1] == f"{local}{'0s':>10}"
    assert all(sngan("runs", "list", "--sort", column).code == 0 for column in columns)


@pytest.mark.parametrize("option", ["--columns", "--sort"])
def test_of_many_columns_the_usual_ones_are_named(sngan: Any, store: Store, option: str) -> None:
    add_run(store, **{f"setting{k}": k for k in range(50)})
    said = sngan("runs", "list", option, "xyzzy").err
    assert "and all settings that `sngan runs show` prints" in said
    assert "duration" in said
    assert "setting7" not in said
    assert "Did you mean 'setting" in sngan("runs", "list", option, "setting").err


@pytest.mark.parametrize("filters", [[], ["--tag", "z"]])
def test_columns_are_taken_at_their_word_where_there_are_no_runs(sngan: Any, store: Store, filters: list[str]) -> None:
    if filters:
        add_run(store)
    done = sngan("runs", "list", "--columns", "id,n_dis", *filters)
    assert (done.code, done.out) == (0, "")
    assert sngan("runs", "list", "--csv", "--columns", "id,n_dis", *filters).out == "id,n_dis\n"


def test_on_a_terminal_a_run_has_one_line_however_long_its_name(store: Store, home: Path, on_terminal: Any) -> None:
    add_run(store, "a long name " * 9, arch_d="resnet-preact")
    add_run(store, "[red]x[/red]")
    shown = on_terminal(80, "runs", "list", "--columns", "id,name,arch,loss,norm,status").out
    lines = [line for line in shown.splitlines() if line.strip()]
    assert len(lines) == 4  # names of the columns, a rule, two runs
    assert all(len(line) <= 80 for line in lines)
    assert "[red]x[/red]" in lines[2]
    assert "a long name a" in lines[3]
    assert "…" in lines[3]


def test_on_a_terminal_too_narrow_for_the_scores_those_behind_are_left_out(store: Store, on_terminal: Any) -> None:
    run = add_run(store, "a name", is_score=1.0)
    for metric in ("fid", "kid", "coverage", "diversity", "intra-fid", "precision"):
        score = Score(
            metric=metric, step=1, value=0.5, std=None, higher_is_better=False, protocol="a n=10", evidence={}
        )
        store.add_score(run, score)
    done = on_terminal(80, "runs", "list", "--sort", "intra-fid")
    assert re.search(
        rf"^{run} a name shapes +standard hinge no +100 finished +0\.500 +1\.000 +\d+s *$", done.out, re.MULTILINE
    )
    assert "No room for coverage, diversity, fid, kid, precision" in done.err
    row = rf"^{run} a name shapes +standard hinge no +100 finished +0\.500 +1\.000 +\d+s *$"
    assert re.search(row, done.out, re.MULTILINE)
    assert "fid: best of the run, by a n=10\nis: best of the run" in done.err


def test_what_users_wrote_is_never_read_as_markup(sngan: Any, store: Store) -> None:
    add_run(store, "[red]x[/red] :smile:", tags=("[b]",))
    assert "[red]x[/red] :smile:" in sngan("runs", "list").out
    assert "[red]x[/red] :smile:" in sngan("runs", "show", "@last").out


def test_show_prints_the_evidence_of_a_score(sngan: Any, store: Store) -> None:
    run = add_run(store, "it", is_score=2.5)
    store.add_checkpoint(run, Checkpoint(step=50, path="checkpoints/step-00000050", size=2**20, sha256="a" * 64))
    store.drop_checkpoint(run, 50)
    shown = sngan("runs", "show", "it").out
    for wanted in ("2.5000 ± 0.2500", "a n=10", "f" * 64, "shapes-cnn", "abc123", "step 50", "deleted", "n_dis"):
        assert wanted in shown, wanted


def add_series(store: Store, run: str, metric: str, values: list[float], **evidence: Any) -> None:
    """Scores of steps 10, 20, ...; evidence that is a list has an entry for each."""
    for k, value in enumerate(values):
        own = {key: each[k] if isinstance(each, list) else each for key, each in evidence.items()}
        store.add_score(
            run, Score(metric=metric, step=10 * (k + 1), value=value, std=None, higher_is_better=metric == "is",
                       protocol="a n=10", evidence={"weights_sha256": "f" * 64, "generator_weights": "raw", **own}),
        )  # fmt: skip


def section(shown: str, title: str) -> list[list[str]]:
    """The lines under a title, each in its cells."""
    (found,) = [part for part in shown.split("\n\n") if part.splitlines()[:1] == [title]]
    return [re.split(r"\s{2,}", line.strip()) for line in found.splitlines()[1:]]


def test_show_prints_what_scores_share_once(sngan: Any, store: Store) -> None:
    run = add_run(store, metrics={"fid": {}, "is": {}})
    add_series(store, run, "fid", [30.0, 20.0, 25.0], torch=["2.1", "2.1", "2.2"], images=10)
    add_series(store, run, "is", [1.0, 2.0, 3.0], images=10, classes={"cat": 0.5})
    shown = sngan("runs", "show", run).out
    assert section(shown, "scores (↑ greater is better, ↓ less is)") == [
        ["score", "weights", "best", "at step", "last", "at step"],
        ["fid ↓", "raw", "20.0000", "20", "25.0000", "30"],
        ["is ↑", "raw", "3.0000", "30", "3.0000", "30"],
        ["fid: by a n=10"], ["is: by a n=10"],
    ]  # fmt: skip
    assert section(shown, "scores by step") == [
        ["step", "fid", "is"], ["10", "30.0000", "1.0000"], ["20", "20.0000", "2.0000"], ["30", "25.0000", "3.0000"],
    ]  # fmt: skip
    assert section(shown, "evidence of all scores") == [
        ["weights sha256", "f" * 64], ["generator weights", "raw"], ["images", "10"],
    ]  # fmt: skip
    assert section(shown, "evidence of fid") == [
        ["protocol", "a n=10"], ["torch", "steps 10 to 20: 2.1"], ["step 30: 2.2"],
    ]  # fmt: skip
    assert section(shown, "evidence of is") == [["protocol", "a n=10"], ["classes", "cat 0.500"]]


def test_show_tells_scores_of_one_metric_apart(sngan: Any, store: Store) -> None:
    run = add_run(store, is_score=2.0, weights_of_g="raw")
    add_series(store, run, "is", [1.0])
    store.add_score(
        run, Score(metric="is", step=100, value=3.0, std=None, higher_is_better=True, protocol="a n=10",
                   evidence={"generator_weights": "averaged"}),
    )  # fmt: skip
    shown = sngan("runs", "show", run).out
    assert section(shown, "scores by step") == [
        ["step", "is #1", "is #2"], ["10", "1.0000"], ["100", "2.0000 ± 0.2500", "3.0000"],
    ]  # fmt: skip
    assert section(shown, "evidence of is #2") == [["protocol", "a n=10"], ["generator weights", "averaged"]]


def test_show_sums_up_checkpoints_and_sheets(sngan: Any, store: Store) -> None:
    run = add_run(store, metrics={"fid": {}})
    add_series(store, run, "fid", [30.0, 20.0, 10.0, 25.0])
    for step in (10, 20, 30, 40):
        store.add_checkpoint(run, Checkpoint(step=step, path=f"checkpoints/{step}", size=2**20, sha256="a" * 64))
        store.add_artifact(run, Artifact(kind="samples", path=f"samples/{step}.png", size=1, sha256="b" * 64))
    for step in (10, 30):
        store.drop_checkpoint(run, step)
    shown = sngan("runs", "show", run).out
    assert ["checkpoints", "best is of step 20, last of step 40"] in section(shown, f"run {run}")
    assert section(shown, "checkpoints") == [
        ["step 20", "checkpoints/20", "1.0 MiB", "sha256 aaaaaaaaaaaa"],
        ["step 40", "checkpoints/40", "1.0 MiB", "sha256 aaaaaaaaaaaa"],
        ["deleted", "2, of steps 10 to 30"],
    ]
    assert section(shown, "artifacts") == [["samples", "4 files, samples/10.png to samples/40.png"]]


@pytest.mark.parametrize(
    ("status", "reason", "checkpoint", "key", "way"),
    [
        (Status.INTERRUPTED, None, True, "go on", "sngan train --resume {}"),
        (Status.INTERRUPTED, None, False, "begin again", "sngan train --like {}"),
        (Status.FAILED, "The disk is full.", True, "go on", "sngan train --resume {}"),
        (Status.FAILED, "Training diverged: a loss became NaN.", True, "ask why", "sngan runs doctor {}"),
    ],
)
def test_show_says_how_to_go_on_with_a_run_that_stopped(
    sngan: Any, store: Store, status: Status, reason: str | None, checkpoint: bool, key: str, way: str
) -> None:
    run = store.create_run(NewRun(config={}, components=(), environment=ENVIRONMENT, seed=0, steps=100)).id
    store.claim(run, ENVIRONMENT)
    if checkpoint:
        store.add_checkpoint(run, Checkpoint(step=5, path="checkpoints/5", size=1, sha256="a" * 64))
    store.close(run, status, step=5, reason=reason)
    summary = section(sngan("runs", "show", run).out, f"run {run}")
    assert summary[:3] == [
        ["status", f"{status.value}: {reason}" if reason else status.value], [key, way.format(run)],
        ["step", "5 of 100"],
    ]  # fmt: skip


def test_show_says_how_long_a_run_was_trained(sngan: Any, store: Store) -> None:
    run = store.create_run(NewRun(config={}, components=(), environment=ENVIRONMENT, seed=0, steps=100)).id
    title = f"run {run}"
    assert "duration" not in [row[0] for row in section(sngan("runs", "show", run).out, title)]
    store.claim(run, ENVIRONMENT)
    started = f"{store.run(run).started.astimezone():%Y-%m-%d %H:%M:%S}"  # type: ignore[union-attr]
    (said,) = [row[1] for row in section(sngan("runs", "show", run).out, title) if row[0] == "duration"]
    assert re.fullmatch(rf"\d+s so far, since {started}", said)
    store.add_event(run, Event(kind="resumed", message="Resumed from the checkpoint of step 5.", step=5))
    store.close(run, Status.FINISHED, step=100)
    (said,) = [row[1] for row in section(sngan("runs", "show", run).out, title) if row[0] == "duration"]
    assert re.fullmatch(rf"\d+s, from {started} to [\d: -]+, breaks included: resumed 1 time", said)


def test_show_says_of_a_lost_run_whose_process_is_gone(
    sngan: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create_run(NewRun(config={}, components=(), environment=ENVIRONMENT, seed=0, steps=100)).id
    store.claim(run, ENVIRONMENT)
    monkeypatch.setattr("sngan_registry.reads.LOST_AFTER", timedelta(0))
    summary = section(sngan("runs", "show", run).out, f"run {run}")
    assert summary[0][1].startswith("lost: process 1 on elsewhere gives no sign of life since 2")
    assert summary[1] == ["begin again", f"sngan train --like {run}"]


def test_a_checkpoint_that_the_registry_never_heard_of_is_one_to_go_on_from(
    sngan: Any, store: Store, home: Path
) -> None:
    """It could not be written, and then the process ended."""
    config = {"loss": {"name": "hinge"}, "log_every": 10}
    run = store.create_run(NewRun(config=config, components=(), environment=ENVIRONMENT, seed=0, steps=100)).id
    store.claim(run, ENVIRONMENT)
    store.close(run, Status.INTERRUPTED, step=5)
    (home / "runs" / run / "checkpoints" / "step-00000006").mkdir(parents=True)
    shown = sngan("runs", "show", run).out
    assert ["go on", f"sngan train --resume {run}"] in section(shown, f"run {run}")
    assert section(shown, "checkpoints") == [["step 6", "checkpoints/step-00000006", "unrecorded"]]
    assert f"`sngan train --resume {run} " in sngan("runs", "doctor", run).out
    assert f"sngan train --resume {run}" in sngan("runs", "watch", run).out


def test_show_has_its_lines_fit_a_narrow_terminal(store: Store, on_terminal: Any) -> None:
    metrics = ("coverage", "density", "diversity", "fid", "intra-fid", "kid", "precision", "recall")
    run = add_run(store)
    for metric in metrics:
        add_series(store, run, metric, [100.0, 50.0])
    lines = on_terminal(60, "runs", "show", run).out.splitlines()
    assert max(map(len, lines)) <= 60
    heads = [line.split()[1:] for line in lines if line.startswith("step ")]
    assert len(heads) == 2
    assert tuple(name for head in heads for name in head) == metrics


def test_the_best_checkpoint_is_the_one_that_best_means(store: Store) -> None:
    from sngan_cli.comparison import best_step

    run = store.run(add_run(store, metrics={"fid": {}, "is": {}}))
    add_series(store, run.id, "fid", [30.0, 10.0, 20.0])
    add_series(store, run.id, "is", [3.0, 1.0, 1.0])
    scores = store.scores(run.id)
    for steps, best in (((10, 20, 30), 20), ((10, 30), 30), ((40,), None)):
        assert best_step(run, scores, steps) == best


def test_the_best_checkpoint_is_that_of_the_weights_that_the_run_is_drawn_with(store: Store) -> None:
    from sngan_cli.comparison import best_step

    run = store.run(add_run(store, metrics={"is": {}}, weights="raw"))
    add_series(store, run.id, "is", [1.1, 1.2, 1.0])
    add_series(store, run.id, "is", [1.5, 1.4, 1.3], generator_weights="averaged")
    add_series(store, run.id, "is", [1.6, 1.4, 1.3], generator_weights="raw, standing statistics")
    scores = store.scores(run.id)
    assert best_step(run, scores, (10, 20, 30)) == 20
    others = [score for score in scores if score.generator_weights == "averaged"]
    assert best_step(run, others, (10, 20, 30)) == 10


@pytest.mark.parametrize(
    ("extractor", "evidence", "is_its_own"),
    [
        ({"name": "dinov2"}, {"extractor": "dinov2"}, True),
        ({"name": "dinov2", "size": "small"}, {"extractor": "dinov2[size=small]"}, True),
        ({"name": "classifier", "trained": "mine"}, {"extractor": "mine"}, True),
        (
            {"name": "classifier", "trained": "mine", "sha256": "ab"},
            {"extractor": "mine", "weights_sha256": "ab"},
            True,
        ),
        (
            {"name": "classifier", "trained": "mine", "sha256": "ab"},
            {"extractor": "mine", "weights_sha256": "cd"},
            False,
        ),
        ({"name": "renames"}, {"extractor": "other", "checkpoint": "while training"}, True),
        ({"name": "dinov2"}, {}, True),
        ({"name": "dinov2"}, {"extractor": "inception-v3", "checkpoint": "last"}, False),
        ({"name": "classifier", "trained": "mine"}, {"extractor": "classifier", "checkpoint": "last"}, False),
    ],
)
def test_a_score_by_another_extractor_leaves_a_run_unscored(
    store: Store, extractor: dict[str, str], evidence: dict[str, str], is_its_own: bool
) -> None:
    from sngan_cli.comparison import is_scored

    run = store.run(add_run(store, extractor=extractor))
    add_series(store, run.id, "is", [3.0], **evidence)
    assert is_scored(run, store.scores(run.id), 10) is is_its_own


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (3599, "59m 59s"), (7500, "2h 05m"), (90_000, "1d 01h")],
)
def test_durations_in_words(seconds: float, said: str) -> None:
    assert in_hours(seconds) == said


@pytest.mark.parametrize("ref", ["", "zzzz", "@first"])
def test_a_run_that_is_not_there(sngan: Any, store: Store, ref: str) -> None:
    add_run(store, "it")
    done = sngan("runs", "show", ref)
    assert done.code == 3
    assert done.err.startswith("error: ")


def test_an_ambiguous_name_lists_the_candidates(sngan: Any, store: Store) -> None:
    one, other = add_run(store, "twice"), add_run(store, "twice")
    done = sngan("runs", "show", "twice")
    assert done.code == 3
    assert one in done.err
    assert other in done.err


def test_prefixes_and_at_names(sngan: Any, store: Store) -> None:
    best, last = add_run(store, is_score=3.0), add_run(store, is_score=1.0)
    assert sngan("runs", "show", "@best", "--json").json["id"] == best
    assert sngan("runs", "show", "@last", "--json").json["id"] == last
    assert sngan("runs", "show", last[:-1] if best[:-1] != last[:-1] else last, "--json").json["id"] == last


def test_a_registry_of_a_newer_version_is_refused(sngan: Any, store: Store, home: Path) -> None:
    with closing(sqlite3.connect(home / "registry.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    done = sngan("runs", "list")
    assert done.code == 4
    assert "9999" in done.err
    assert "Traceback" not in done.err


def test_another_registry_by_option(sngan: Any, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNGAN_REGISTRY", "unused")  # so that what --registry sets is undone after the test
    add_run(store)
    with Store.open(tmp_path / "other.db") as other:
        run = add_run(other)
    listed = sngan("--registry", tmp_path / "other.db", "runs", "list", "--json").json
    assert [entry["id"] for entry in listed] == [run]


def test_runs_are_plotted(sngan: Any, trained: str, tmp_path: Path) -> None:
    output = tmp_path / "new" / "is.svg"
    done = sngan("runs", "plot", trained, "tiny", "-o", output)
    assert (done.code, done.out) == (0, f"{output}\n"), done.err
    assert "<svg" in output.read_text()
    for what in ("losses", "loss_g"):
        assert sngan("runs", "plot", "@last", "--what", what, "-o", tmp_path / "x.png").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tiny", "--what", "fid", "-o", "x.png"], 3, "has no curve 'fid': choose --what losses, is, loss_d, loss_g"),
        (["tiny", "-o", "x.gif"], 2, "'x.gif' has no known ending: use one of .png, .svg, .pdf"),
        (["nobody", "-o", "x.png"], 3, "There is no run 'nobody'"),
    ],
)
def test_what_cannot_be_plotted(
    sngan: Any, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    done = sngan("runs", "plot", *arguments)
    assert done.code == code
    assert message in done.err
    assert not (tmp_path / "x.png").exists()


def test_best_scores_of_different_weights_are_said_to_be(sngan: Any, store: Store) -> None:
    one, other = (add_run(store, is_score=value, weights_of_g=w) for value, w in ((3.0, "raw"), (2.0, "averaged")))
    said = "is: not all of the same weights of G (averaged; raw)"
    assert f"{said}: --columns id,is,is.weights tells them" in sngan("runs", "list").err
    listed = sngan("runs", "list", "--sort", "is", "--columns", "id,is,is.weights")
    assert [line.split() for line in listed.out.splitlines()[1:]] == [
        [one, "3.000", "raw"],
        [other, "2.000", "averaged"],
    ]
    assert f"{said}\n" in listed.err
    assert said in sngan("runs", "list", "--csv", "--columns", "id,is").err
    assert "is.weights" in sngan("runs", "list", "--csv").out.splitlines()[0]
    assert said not in sngan("runs", "list", "--limit", 1).err
    refused = sngan("runs", "list", "--sort", "is.weights")
    assert (refused.code, "cannot be sorted by 'is.weights'" in refused.err) == (2, True)


def test_evidence_is_shown_with_six_digits_and_kept_with_all(sngan: Any, store: Store) -> None:
    run = add_run(store, is_score=1.0)
    evidence = {"difference of features from fp32": 0.0049190549179911606}
    score = Score(
        metric="kid", step=1, value=0.5, std=None, higher_is_better=False, protocol="a n=10", evidence=evidence
    )
    store.add_score(run, score)
    assert re.search(r"difference of features from fp32 +0\.00491905\n", sngan("runs", "show", run).out)
    shown = sngan("runs", "show", run, "--json").json["scores"]
    assert evidence in [score["evidence"] for score in shown]


def test_letters_that_take_two_columns_shift_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(("name", "step"), [("生成モデル", "1"), ("abc", "20")], right={"step"})
    assert capsys.readouterr().out.splitlines() == ["name        step", "生成モデル     1", "abc           20"]
