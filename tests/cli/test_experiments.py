"""`sngan experiments`: trained case by case, gone on with, and reported."""

from __future__ import annotations

import itertools
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sngan_cli.stopping import StopSignal
from sngan_plugins.metrics.inception_score import Splits
from sngan_registry import Status, Store

MINE = """
title = "A | table of *mine*"
source = "here"
measured = "by eye"
{top}
[fixed]
dataset = {{ name = "shapes", images = 20 }}
arch = {{ name = "standard", width = 0.05 }}
size = 8
batch_size = 4
g_batch_size = 4
n_dis = 1
steps = 4
eval_every = 2
eval_samples = 20
log_every = 1
device = "cpu"
metrics.is.splits = 2

[[cases]]
case = "a"
conditional = true
published.is = 5.5

[[cases]]
case = "b"
note = "far too fast"
conditional = false
arch_d.leaky_slope = 0.2
{b}

[[cases]]
case = "c"
conditional = false
"""
DIVERGES = 'norm = "none"\nlr = 1e30'


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(MINE.format(top="", b=""), encoding="utf-8")
    return path


def runs(home: Path) -> dict[str, Any]:
    """Runs by name."""
    with Store.open(home / "registry.db", create=False) as store:
        return {summary.run.name: summary.run for summary in store.summaries()}


def test_every_case_is_trained_once(sngan: Any, mine: Path, home: Path) -> None:
    done = sngan("experiments", "run", mine)
    assert done.code == 0, done.err
    found = runs(home)
    assert list(reversed(found)) == ["mine/a", "mine/b", "mine/c"]
    assert done.out.split() == [run.id for run in reversed(found.values())]
    assert set(found["mine/b"].tags) == {"experiment:mine", "case:b"}
    assert found["mine/b"].config["arch_d"]["leaky_slope"] == 0.2
    assert found["mine/a"].config["conditional"] is True
    assert re.search(r"mine case a, seed 0: finished, step 4, run \w+, is .* at last, published 5\.500", done.err)
    again = sngan("experiments", "run", mine)
    assert (again.code, again.out) == (0, "")
    assert again.err.count(": finished, run") == 3
    assert runs(home).keys() == found.keys()


def test_a_case_that_an_earlier_sngan_trained_is_kept(sngan: Any, mine: Path, home: Path) -> None:
    """Its configuration lacks the settings that have come since."""
    assert sngan("experiments", "run", mine).code == 0
    with Store.open(home / "registry.db", create=False) as store:
        for run in runs(home).values():
            then = {k: v for k, v in run.config.items() if k not in ("devices", "sync_batch_norm")}
            assert len(then) == len(run.config) - 2
            store.update(run.id, config=then)
    plan = sngan("experiments", "run", mine, "--dry-run")
    assert [line.split()[2] for line in plan.out.splitlines()[1:]] == ["keep", "keep", "keep"]


def test_an_interrupted_case_is_resumed_and_the_missing_ones_are_trained(
    sngan: Any, mine: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    monkeypatch.setattr(StopSignal, "__call__", lambda _: next(calls) == 7)  # the second run's second step
    stopped = sngan("experiments", "run", mine)
    assert stopped.code == 75
    begun = runs(home)
    assert (begun["mine/a"].status, begun["mine/b"].status) == (Status.FINISHED, Status.INTERRUPTED)
    assert "mine/c" not in begun
    assert "mine case c, seed 0: not trained" in stopped.err
    plan = sngan("experiments", "run", mine, "--dry-run")
    assert [line.split()[2] for line in plan.out.splitlines()[1:]] == ["keep", "resume", "train"]
    with sqlite3.connect(home / "registry.db") as database:  # as where it could not be written at the end
        database.execute("DELETE FROM checkpoints WHERE run_id = ?", (begun["mine/b"].id,))
    assert sngan("experiments", "run", mine, "--dry-run").out == plan.out
    monkeypatch.setattr(StopSignal, "__call__", lambda _: False)
    done = sngan("experiments", "run", mine, "--set", "compile=off")
    assert done.code == 0
    found = runs(home)
    assert found["mine/b"].id == begun["mine/b"].id
    assert [found[name].config["compile"] for name in ("mine/a", "mine/b", "mine/c")] == ["auto", "off", "off"]
    assert {run.status for run in found.values()} == {Status.FINISHED}
    assert len(found) == 3


def test_a_case_that_diverges_does_not_stop_the_others(sngan: Any, mine: Path, home: Path) -> None:
    mine.write_text(MINE.format(top="", b=DIVERGES), encoding="utf-8")
    done = sngan("experiments", "run", mine)
    assert done.code == 5
    assert "case b, seed 0: Training diverged" in done.err
    found = runs(home)
    assert (found["mine/b"].status, found["mine/c"].status) == (Status.FAILED, Status.FINISHED)
    again = sngan("experiments", "run", mine)
    assert (again.code, again.out) == (5, "")
    assert f"diverged, run {found['mine/b'].id}" in again.err
    report = sngan("experiments", "report", mine)
    assert report.code == 0, report.err
    text = (mine.parent / "mine-report" / "report.md").read_text(encoding="utf-8")
    assert f"`{found['mine/b'].id}` diverged at step {found['mine/b'].step} of 4" in text
    assert "There is no figure: Run" in text


def test_a_case_whose_last_score_fails_is_finished_and_said(
    sngan: Any, mine: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, asked = Splits.result, itertools.count(1)

    def failing(splits: Splits) -> Any:
        if next(asked) == 2:
            raise RuntimeError("not today")
        return result(splits)

    with monkeypatch.context() as patched:
        patched.setattr(Splits, "result", failing)
        done = sngan("experiments", "run", mine)
    assert done.code == 1
    found = runs(home)
    assert [run.status for run in found.values()] == [Status.FINISHED] * 3
    way_on = f"Once that is mended, score it with: sngan train --resume {found['mine/a'].id}"
    assert f"warning: case a, seed 0: Step 4 is not scored by is, as is said above. {way_on}\n" in done.err
    plan = sngan("experiments", "run", mine, "--dry-run")
    assert [line.split()[2:4] for line in plan.out.splitlines()[1:]] == [["score", "unscored"]] + 2 * [
        ["keep", "finished"]
    ]
    assert sngan("experiments", "run", mine).code == 0
    assert runs(home)["mine/a"].id == found["mine/a"].id
    plan = sngan("experiments", "run", mine, "--dry-run")
    assert [line.split()[2] for line in plan.out.splitlines()[1:]] == ["keep"] * 3


def test_a_finished_case_that_owes_its_score_is_never_trained_again(sngan: Any, mine: Path, home: Path) -> None:
    """Neither for want of the extractor's weights nor of its checkpoint; the others are trained all the same."""
    command = ("experiments", "run", mine, "--set", "extractor.name=inception-v3")
    assert sngan(*command, "--case", "a", "--case", "b").code == 0
    before = runs(home)
    again = sngan(*command)
    assert (again.code, again.err.count("is finished, and cannot be scored, as is said above.")) == (1, 2)
    after = runs(home)
    assert again.out.split() == [after["mine/c"].id]
    assert [after[name] for name in before] == list(before.values())
    checkpoints = home / "runs" / after["mine/a"].id / "checkpoints"
    for path in checkpoints.rglob("*.safetensors"):
        path.write_bytes(b"")
    damaged = sngan(*command, "--case", "a")
    assert (damaged.code, damaged.out) == (1, "")
    assert "warning: case a, seed 0: " in damaged.err
    assert str(checkpoints) in damaged.err
    assert len(runs(home)) == 3


def test_missing_data_stop_it_before_there_is_a_run(sngan: Any, mine: Path, home: Path) -> None:
    done = sngan("experiments", "run", mine, "--dataset", "folder", "--data-dir", mine.parent / "nowhere")
    assert done.code == 3
    assert "nowhere" in done.err
    assert runs(home) == {}


def test_a_case_whose_data_are_missing_does_not_stop_the_others(sngan: Any, mine: Path, home: Path) -> None:
    mine.write_text(MINE.format(top="", b='dataset = "folder"\ndata_dir = "/nowhere"'), encoding="utf-8")
    done = sngan("experiments", "run", mine, "--case", "b", "--case", "c")
    assert done.code == 3
    assert "warning: case b, seed 0: The data folder /nowhere does not exist" in done.err
    assert list(runs(home)) == ["mine/c"]


def test_other_settings_make_other_runs(sngan: Any, mine: Path, home: Path) -> None:
    assert sngan("experiments", "run", mine, "--case", "a").code == 0
    short = sngan("experiments", "run", mine, "--case", "a", "--steps", 2, "--set", "lr=1e-3")
    assert short.code == 0
    with Store.open(home / "registry.db", create=False) as store:
        new, old = (summary.run for summary in store.summaries())
        assert [s.run.id for s in store.summaries(tags=["experiment:mine", "case:a"])] == [new.id, old.id]
    assert (new.steps, new.config["lr_d"], old.steps) == (2, 1e-3, 4)
    assert [tag.partition(":")[0] for tag in sorted(new.tags)] == ["case", "experiment", "overrides"]
    for again in (("--steps", 2, "--set", "lr=0.001"), ("--set", "steps=2", "--set", "lr=0.001")):
        assert sngan("experiments", "run", mine, "--case", "a", *again).out == ""
    plain = sngan("experiments", "report", mine, "-o", "plain")
    assert f"`{old.id}`" in Path("plain/report.md").read_text()
    assert "--steps 2" in plain.err
    assert sngan("experiments", "report", mine, "-o", "short", "--set", "lr=1e-3", "--steps", 2).code == 0
    text = Path("short/report.md").read_text()
    assert f"`{new.id}`" in text
    assert "| `steps` | 2 | 4 |" in text


def test_what_another_process_trains_is_left_to_it(sngan: Any, mine: Path, home: Path) -> None:
    assert sngan("experiments", "run", mine, "--case", "c").code == 0
    with Store.open(home / "registry.db", create=False) as store:
        run = store.get("mine/c")
        store.claim(run.id, run.environment)
    done = sngan("experiments", "run", mine, "--case", "c")
    assert (done.code, done.out) == (0, "")
    assert f"running, run {run.id}" in done.err


def test_a_plan_as_json_has_values_and_goes_with_a_dry_run(sngan: Any, mine: Path, home: Path) -> None:
    assert sngan("experiments", "run", mine, "--case", "b").code == 0
    (run,) = runs(home).values()
    (row,) = sngan("experiments", "run", mine, "--case", "b", "--dry-run", "--json").json
    assert row == {
        "case": "b", "seed": 0, "to_do": "keep", "status": "finished", "run": run.id,
        "settings": {"conditional": False, "arch_d.leaky_slope": 0.2}, "fails": None,
    }  # fmt: skip
    refused = sngan("experiments", "run", mine, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "--json prints what --dry-run says" in refused.err


def test_a_dry_run_trains_nothing(sngan: Any, mine: Path, home: Path) -> None:
    done = sngan("experiments", "run", mine, "--seed", 3, "--seed", 4, "--case", "b", "--dry-run")
    assert done.code == 0
    assert done.out.splitlines()[0].split() == [
        "case",
        "seed",
        "to",
        "do",
        "status",
        "run",
        "conditional",
        "arch_d.leaky_slope",
    ]
    assert [line.split() for line in done.out.splitlines()[1:]] == [["b", s, "train", "no", "0.2"] for s in "34"]
    assert not (home / "registry.db").exists()


def test_the_report_is_a_section_of_an_article(sngan: Any, mine: Path, home: Path) -> None:
    mine.write_text(MINE.format(top="seeds = [0, 1]", b=""), encoding="utf-8")
    assert sngan("experiments", "run", mine).code == 0
    done = sngan("experiments", "report", mine)
    assert done.out.split() == ["mine-report/report.md", "mine-report/report.html"]
    text = Path("mine-report/report.md").read_text(encoding="utf-8")
    assert text.startswith("# A \\| table of \\*mine\\*\n")
    assert "3 cases, 6 runs on cpu" in text
    assert "| `dataset.images` | 20 |" in text
    with Store.open(home / "registry.db", create=False) as store:
        values = [
            max(score.value for score in store.scores(s.run.id))
            for s in store.summaries(tags=["experiment:mine", "case:a"])
        ]
    mean, half = sum(values) / 2, abs(values[0] - values[1]) / 2
    (row,) = [line for line in text.splitlines() if line.startswith("| **a** |")]
    assert f"| {mean:.3f} ± {half * 2**0.5:.3f} |" in row
    assert "| 5.500 |" in row
    assert "- **b**: far too fast" in text
    assert "Published: by eye." in text
    for name in re.findall(r"!\[.*\]\((.*)\)", text):
        with Image.open(Path("mine-report") / name) as picture:
            assert min(picture.size) > 100
    page = Path("mine-report/report.html").read_text(encoding="utf-8")
    assert "<title>A | table of *mine*</title>" in page
    assert "<h1>A | table of *mine*</h1>" in page
    assert page.count("<table>") == 2
    assert page.count("<img ") == text.count("![") == 6


def test_shown_beside_what_was_published(sngan: Any, mine: Path) -> None:
    shown = sngan("experiments", "show", "stl10-resnet")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == "stl10-resnet: STL-10, ResNet"
    assert re.search(r"^5 +yes +5 +1024 +1301 +7\.314$", shown.out, re.MULTILINE)
    record = sngan("experiments", "show", mine, "--json").json
    assert record["cases"][0] == {"case": "a", "settings": {"conditional": True}, "published": {"is": 5.5}, "note": ""}
    listed = sngan("experiments", "list", mine.parent, "--json").json
    assert [e["name"] for e in listed][-1] == str(mine)
    assert {e["name"]: e["cases"] for e in listed}["stl10-postact-standard"] == 10


def test_a_plan_says_both_rates_where_they_are_equal(sngan: Any, mine: Path) -> None:
    mine.write_text(MINE.format(top="", b="lr_g = 1e-4\nlr_d = 1e-4"), encoding="utf-8")
    plan = sngan("experiments", "run", mine, "--dry-run", "--json").json
    rates = [(row["settings"]["lr_g"], row["settings"]["lr_d"]) for row in plan]
    assert rates == [(2e-4, 2e-4), (1e-4, 1e-4), (2e-4, 2e-4)]


def test_on_a_narrow_terminal_a_table_comes_in_parts(on_terminal: Any) -> None:
    lines = [line.rstrip() for line in on_terminal(60, "experiments", "show", "n-dis-1").out.splitlines()]
    heads = [line.split() for line in lines if line.startswith("case ")]
    assert heads == [
        ["case", "n_dis", "steps", "eval_every", "loss"],
        ["case", "fakes", "norm_g", "lr_g", "lr_d", "beta1"],
        ["case", "weights"],
    ]
    assert "fast-cross-entropy 1     3100  620        cross-entropy" in lines


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "cifar"], 3, "There is no experiment 'cifar'"),
        (["show", ""], 3, "There is no experiment ''"),
        (["run", "cifar10-resnet", "--case", "4"], 3, "has no case '4': choose one of 0, 1, 2, 3"),
        (["run", "mine.toml", "--set", "seed=1"], 2, "give --seed instead"),
        (["run", "mine.toml", "--set", "n_dsi=1"], 2, "Did you mean 'n_dis'"),
        (["run", "mine.toml", "--dataset", "shape"], 3, "There is no dataset 'shape'. Did you mean 'shapes'"),
        (["report", "mine.toml"], 3, "There is no run of the experiment 'mine' with these settings yet"),
        (["list", "nowhere"], 3, "There is no experiment in 'nowhere'"),
    ],
)
def test_mistakes_are_named(sngan: Any, mine: Path, arguments: list[str], code: int, message: str) -> None:
    done = sngan("experiments", *arguments)
    assert done.code == code
    assert message in done.err
    assert done.err.count("\n") <= 2


def test_a_report_of_cases_that_were_renamed_since_says_so(sngan: Any, mine: Path) -> None:
    assert sngan("experiments", "run", mine, "--case", "c", "--steps", 0).code == 0
    mine.write_text(mine.read_text(encoding="utf-8").replace('case = "c"', 'case = "renamed"'), encoding="utf-8")
    done = sngan("experiments", "report", mine)
    assert done.code == 3
    assert "The experiment 'mine' has 1 run, none of a case that it has now (a, b, renamed): name its" in done.err


def test_a_report_needs_a_folder(sngan: Any, mine: Path) -> None:
    assert sngan("experiments", "run", mine, "--case", "c", "--steps", 0).code == 0
    done = sngan("experiments", "report", mine, "-o", mine)
    assert done.code == 2
    assert "cannot be made" in done.err


def test_a_report_on_some_of_the_cases_has_the_conditions_of_all(sngan: Any, mine: Path, home: Path) -> None:
    few = ("--steps", 1, "--set", "lr=1e-3")
    assert sngan("experiments", "run", mine, "--case", "b", *few).code == 0
    assert sngan("experiments", "report", mine, *few).code == 0
    text = Path("mine-report/report.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0]: line.split(" | ") for line in text.splitlines() if line.startswith("| **")}
    assert [rows[f"| **{case}**"][1:3] for case in "abc"] == [["yes", "0.1"], ["no", "0.2"], ["no", "0.1"]]
    assert rows["| **a**"][-1] == "not trained |"
    assert "| `conditional` |" not in text.split("## Changing")[0]
    assert "| `lr` | 0.001 | 0.0002 |" in text
    assert "| `steps` | 1 | 4 |" in text


def test_what_differs_in_the_experiment_is_told_of_all_its_cases(sngan: Any, home: Path, tmp_path: Path) -> None:
    small = ["--set", "size=12", "--set", "arch.width=0.02", "--set", "batch_size=4", "--set", "g_batch_size=4",
             "--set", "eval_samples=20", "--set", "device=cpu", "--dataset", "shapes", "--steps", 1]  # fmt: skip
    assert sngan("experiments", "run", "stl10-resnet", "--case", 3, *small).code == 0
    assert sngan("experiments", "report", "stl10-resnet", "-o", tmp_path / "report").code == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| `steps` | 1301 epochs | yes |" not in text
    assert "| **5** | yes | 5 | 1024 | 1301 epochs |  |" in text
    assert "| **3** | yes | 1 | 512 | 1 | " in text


def test_overrides_of_what_changes_are_shown_and_warned_of(sngan: Any, mine: Path) -> None:
    text = (
        MINE.format(top="", b="steps = 3")
        .replace("\nsteps = 4", "")
        .replace("conditional = true", "conditional = false")
    )
    text = text.replace('case = "a"', 'case = "a"\nsteps = 2').replace('case = "c"', 'case = "c"\nsteps = 4')
    mine.write_text(text.replace("arch_d.leaky_slope = 0.2\n", ""), encoding="utf-8")
    plan = sngan("experiments", "run", mine, "--dry-run", "--steps", 1)
    assert [line.split()[-2:] for line in plan.out.splitlines()[1:]] == [["1", "no"]] * 3
    done = sngan("experiments", "run", mine, "--case", "a", "--case", "b", "--steps", 1)
    assert "Cases a and b have the same settings" in done.err
    assert "[2/2] mine case b, seed 0: steps 1, conditional no" in done.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("conditional=false", "conditional = False would override conditional"),
        ("arch.leaky_slope=0.3", "arch.leaky_slope = 0.3 would override arch_d.leaky_slope"),
        ("norm.name=none", "norm = 'none' would override norm"),
        ("lr=1e-3", "lr = 0.001 would override lr_d and lr_g"),
    ],
)
def test_what_cases_are_told_apart_by_is_not_overridden(sngan: Any, mine: Path, override: str, said: str) -> None:
    mine.write_text(MINE.format(top="", b=DIVERGES), encoding="utf-8")
    for command, *more in (["run"], ["run", "--case", "a"], ["run", "--dry-run"], ["report"]):
        refused = sngan("experiments", command, mine, "--set", override, *more)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err == f"error: --set: {said}, in which the cases of mine differ: leave it out.\n"


def test_what_all_cases_say_alike_may_be_overridden(sngan: Any, mine: Path) -> None:
    mine.write_text(MINE.format(top="", b="").replace("conditional = true", "conditional = false"), encoding="utf-8")
    assert sngan("experiments", "run", mine, "--dry-run", "--set", "conditional=true").code == 0


def test_a_run_whose_checkpoints_are_gone_is_trained_anew(
    sngan: Any, mine: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopSignal, "__call__", lambda _: True)
    assert sngan("experiments", "run", mine, "--case", "c").code == 75
    monkeypatch.undo()
    monkeypatch.setenv("SNGAN_HOME", str(home))
    lost = runs(home)["mine/c"]
    shutil.rmtree(home / "runs" / lost.id / "checkpoints")
    done = sngan("experiments", "run", mine, "--case", "c")
    assert done.code == 0, done.err
    assert "case c, seed 0 is trained anew" in done.err
    assert done.out.strip() != lost.id


def test_a_case_that_cannot_start_does_not_stop_the_others(sngan: Any, mine: Path, home: Path) -> None:
    nowhere = 'dataset = "folder"\ndata_dir = "/nowhere"'
    text = MINE.format(top="", b=nowhere).replace("dataset = {", 'extractor = "shapes-cnn"\ndataset = {')
    text = text.replace(
        'extractor = "shapes-cnn"\ndataset = { name = "shapes", images = 20 }', 'extractor = "shapes-cnn"'
    )
    text = text.replace('case = "a"', 'case = "a"\ndataset = { name = "shapes", images = 20 }')
    mine.write_text(text.replace('case = "c"', 'case = "c"\ndataset = { name = "shapes", images = 20 }'))
    done = sngan("experiments", "run", mine)
    assert done.code == 3
    assert "case b, seed 0: The data folder /nowhere does not exist" in done.err
    assert set(runs(home)) == {"mine/a", "mine/c"}


def test_a_dry_run_names_the_runs_that_would_fail(sngan: Any, mine: Path, home: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    fixed = 'dataset = { name = "shapes", images = 20 }'
    text = MINE.format(top="", b='dataset = "folder"\ndata_dir = "/nowhere"').replace(fixed, 'extractor = "shapes-cnn"')
    text = text.replace('case = "a"', f'case = "a"\ndataset = "folder"\ndata_dir = "{tmp_path}"')
    mine.write_text(text.replace('case = "c"', f'case = "c"\n{fixed}'))
    done = sngan("experiments", "run", mine, "--dry-run")
    assert done.code == 3, done.err
    assert [line.split()[2] for line in done.out.splitlines()[1:]] == ["train"] * 3
    as_json = sngan("experiments", "run", mine, "--dry-run", "--json")
    assert (as_json.code, as_json.err) == (3, done.err)
    assert [(row["case"], row["seed"], row["to_do"], row["status"], row["run"]) for row in as_json.json] == [
        (case, 0, "train", None, None) for case in "abc"
    ]
    assert [row["fails"] is None for row in as_json.json] == [False, False, True]
    assert as_json.json[1]["fails"].startswith("The data folder /nowhere does not exist")
    labels, missing = done.err.splitlines()
    assert labels.startswith("warning: case a, seed 0 would fail: The data set 'folder' has no labels, and")
    assert missing.startswith("warning: case b, seed 0 would fail: The data folder /nowhere does not exist")
    assert not (home / "registry.db").exists()
    assert not (home / "runs").exists()


def test_a_dry_run_looks_for_the_device_and_leaves_finished_cases_alone(sngan: Any, mine: Path) -> None:
    assert sngan("experiments", "run", mine, "--case", "b").code == 0
    done = sngan("experiments", "run", mine, "--dry-run", "--set", "device=cuda:99")
    assert done.code == 2
    assert done.err.startswith("warning: case a, seed 0; case c, seed 0 would fail: The device 'cuda:99' is not there")
    assert sngan("experiments", "run", mine, "--dry-run").code == 0


def test_a_dry_run_downloads_nothing(sngan: Any, mine: Path, home: Path) -> None:
    text = mine.read_text().replace('{ name = "shapes", images = 20 }', '"cifar10"').replace("size = 8", "size = 32")
    mine.write_text(text)
    done = sngan("experiments", "run", mine, "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert list((home / "cache").glob("downloads/*")) == []


def test_what_began_elsewhere_while_the_data_were_prepared_is_left(
    sngan: Any, mine: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sngan_cli.experiments import runner

    real, calls = runner.look_up, itertools.count()

    def look_up(*arguments: Any) -> Any:
        return real(*arguments) if next(calls) == 0 else (None, "running")

    monkeypatch.setattr(runner, "look_up", look_up)
    done = sngan("experiments", "run", mine, "--case", "a")
    assert done.code == 0
    assert "another process has begun it meanwhile" in done.err
    assert runs(home) == {}


def test_a_folder_of_experiments_may_hold_other_files(sngan: Any, mine: Path) -> None:
    (mine.parent / "other.toml").write_text("[project]\nname = 'x'\n")
    listed = sngan("experiments", "list", mine.parent)
    assert listed.code == 0
    assert str(mine) in listed.out
    assert "left out: " in listed.err
    assert "other.toml" in listed.err
    assert str(mine) in sngan("experiments", "list", mine).out
