"""Curves of runs: what is drawn, and what it is called."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sngan_cli.errors import NotFoundError, SnganError
from sngan_cli.plots import Curves, first_curve, labels_of, plot
from sngan_registry import Environment, NewRun, Run, Scalar, Score, Store

ENVIRONMENT = Environment(
    sngan="0", python="3", torch="2", cuda=None, device="cpu", host="h", pid=1, git_commit=None, command="c"
)


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Three runs: two that differ in the loss, and one like the first."""
    with Store.open(tmp_path / "registry.db") as store:
        return [
            store.create_run(
                NewRun(
                    config={"n_dis": 5, "loss": {"name": loss, loss[:2]: 1},
                            "arch_g": {"name": "standard", "width": width}, "arch_d": {"name": arch_d}},
                    components=(), environment=ENVIRONMENT, seed=0, steps=10, name=name,
                )
            )
            for loss, width, arch_d, name in (
                ("hinge", 1.0, "standard", None), ("cross-entropy", 0.5, "standard", "other"),
                ("hinge", 1.0, "standard", "twin"),
            )
        ]  # fmt: skip


def score(step: int, value: float, protocol: str = "p") -> Score:
    return Score(metric="is", step=step, value=value, std=None, higher_is_better=True, protocol=protocol, evidence={})


def curves(run: Run, protocol: str = "p", points: int = 3) -> Curves:
    scalars = [Scalar(name=name, step=k, value=k % 7) for name in ("loss_d", "loss_g") for k in range(points)]
    return Curves(run, scalars, [score(k, 1 + k, protocol) for k in range(3)])


def drawn(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_runs_are_labelled_by_their_name_and_what_differs_between_them(runs: list[Run]) -> None:
    first, second, twin = runs
    assert labels_of([first, second]) == {
        first.id: f"{first.id}: loss hinge, arch_g.width 1.0", second.id: "other: loss cross-entropy, arch_g.width 0.5",
    }  # fmt: skip
    assert labels_of([first, twin]) == {first.id: first.id, twin.id: "twin"}
    assert labels_of([second]) == {second.id: "other"}
    namesake = replace(second, name="twin")
    assert list(labels_of([namesake, twin]).values()) == [
        f"twin ({namesake.id}): loss cross-entropy, arch_g.width 0.5",
        f"twin ({twin.id}): loss hinge, arch_g.width 1.0",
    ]


def test_how_a_run_is_kept_is_no_part_of_its_label(runs: list[Run]) -> None:
    kept = (
        "eval_every",
        "eval_samples",
        "checkpoint_every",
        "keep_every",
        "log_every",
        "device",
        "data_dir",
        "scored_by",
    )
    one, other = (
        replace(run, config={**dict.fromkeys(kept, k), "steps": k}) for k, run in enumerate(runs[1:], 1)
    )  # fmt: skip
    assert labels_of([one, other]) == {one.id: "other: steps 1", other.id: "twin: steps 2"}


def test_the_first_metric_that_all_runs_have_is_drawn_by_default(runs: list[Run]) -> None:
    def scored(*metrics: str) -> Curves:
        run = replace(runs[0], config={"metrics": {"fid": {}, "kid": {}, "is": {}}})
        return Curves(run, [], [replace(score(1, 2.0), metric=metric) for metric in metrics])

    assert first_curve([scored("is", "kid", "fid")]) == "fid"
    assert first_curve([scored("is", "kid", "fid"), scored("is", "kid")]) == "kid"
    assert first_curve([scored("is"), scored("fid")]) == "fid"
    assert first_curve([scored()]) == "losses"


def test_a_setting_that_both_networks_share_is_said_once(runs: list[Run]) -> None:
    first, second = (
        replace(run, config={"arch_g": {"name": name, "width": 1}, "arch_d": {"name": name, "width": width}})
        for run, name, width in ((runs[0], "standard", 1), (replace(runs[0], id="y"), "resnet-preact", 1))
    )
    assert labels_of([first, second]) == {
        first.id: f"{first.id}: arch standard", second.id: f"{second.id}: arch resnet-preact",
    }  # fmt: skip


def test_points_are_those_of_the_registry(runs: list[Run]) -> None:
    recorded = curves(runs[0])
    assert recorded.named("is") == {"p": [(0, 1.0), (1, 2.0), (2, 3.0)]}
    assert recorded.named("loss_g") == {"": [(0, 0.0), (1, 1.0), (2, 2.0)]}
    assert recorded.names() == ["is", "loss_d", "loss_g"]


@pytest.mark.parametrize("what", ["is", "losses", "loss_d"])
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_every_format_is_written(runs: list[Run], tmp_path: Path, what: str, ending: str) -> None:
    path = tmp_path / f"plot.{ending}"
    plot([curves(run) for run in runs], what, path)
    if ending == "png":
        with Image.open(path) as picture:
            assert picture.size == (1200, 750)
    else:
        assert path.read_bytes().startswith(b"%PDF" if ending == "pdf" else b"<?xml")


def legend_of(figure: Any) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Every figure that is drawn, instead of being written."""
    from matplotlib.figure import Figure

    monkeypatch.chdir(tmp_path)
    found: list[Any] = []

    def keep(figure: Any, path: Path, **_: Any) -> None:
        found.append(figure)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_scores_of_several_protocols_are_marked(runs: list[Run], figures: list[Any]) -> None:
    plot([curves(runs[0]), curves(runs[1], protocol="q")], "is", Path("x.svg"))
    assert legend_of(figures[0]) == [
        f"{runs[0].id}: loss hinge, arch_g.width 1.0  [p]",
        "other: loss cross-entropy, arch_g.width 0.5  [q]",
    ]
    assert [line.get_linestyle() for line in figures[0].axes[0].lines] == ["-", "--"]
    assert [line.get_marker() for line in figures[0].legends[0].get_lines()] == ["o", "s"]  # one point has no dashes
    assert "several protocols" in figures[0].axes[0].get_title()
    plot([curves(runs[0])], "is", Path("x.svg"))
    assert figures[1].axes[0].get_title() == ""


def test_losses_of_both_networks_are_drawn(runs: list[Run], figures: list[Any]) -> None:
    plot([curves(runs[1])], "losses", Path("x.svg"))
    assert legend_of(figures[0]) == ["other"]
    assert [list(line.get_ydata()) for line in figures[0].axes[0].lines] == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("name", ["_x", "$5 to $6", "$\\frac{$", "\u732b"])
def test_any_name_is_drawn_as_it_is(runs: list[Run], tmp_path: Path, name: str) -> None:
    path = tmp_path / "plot.svg"
    plot([curves(runs[0])], "is", path, {runs[0].id: name})
    assert f"<!-- {name} -->" in path.read_text(encoding="utf-8")


def test_many_points_are_drawn_with_their_running_mean(runs: list[Run], figures: list[Any]) -> None:
    plot([curves(runs[1], points=350)], "loss_d", Path("x.svg"))
    faint, mean = figures[0].axes[0].lines
    assert len(faint.get_ydata()) == 350
    # The mean over 350 / 50 = 7 points of 0, 1, ..., 6 is 3 everywhere, and belongs to the last of the seven steps.
    assert mean.get_xdata()[0] == 6
    assert mean.get_ydata() == pytest.approx([3.0] * 344)


def test_a_run_without_the_curve_is_named(runs: list[Run], tmp_path: Path) -> None:
    bare = Curves(runs[0], [], [])
    with pytest.raises(NotFoundError, match=rf"Run {runs[0].id} has recorded nothing to plot yet"):
        plot([curves(runs[1]), bare], "is", tmp_path / "x.png")
    unscored = Curves(runs[0], curves(runs[0]).scalars, [])
    with pytest.raises(NotFoundError, match=r"has no curve 'is': choose --what losses, loss_d, loss_g"):
        plot([unscored], "is", tmp_path / "x.png")


def test_a_full_disk_is_said_and_leaves_what_was_there(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(figure: Any, path: Path, **_: Any) -> None:
        path.write_bytes(b"half a plot")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fill)
    (tmp_path / "x.png").write_bytes(b"precious")
    with pytest.raises(SnganError, match=r"x\.png' cannot be written: No space left on device\.$"):
        plot([curves(runs[0])], "is", tmp_path / "x.png")
    assert [path.read_bytes() for path in tmp_path.glob("*x*.png")] == [b"precious"]


def test_where_one_run_mixes_architectures_both_networks_are_named(runs: list[Run]) -> None:
    pairs = (("resnet-preact", "resnet-preact"), ("resnet-preact", "standard"), ("standard", "standard"))
    mixed = [
        replace(run, config={"arch_g": {"name": g}, "arch_d": {"name": d}, "lr_g": 1e-4, "lr_d": 1e-4 * (k + 1)})
        for k, (run, (g, d)) in enumerate(zip(runs, pairs, strict=True))
    ]
    assert list(labels_of(mixed).values()) == [
        f"{runs[0].id}: arch_g resnet-preact, arch_d resnet-preact, lr_d 0.0001",
        "other: arch_g resnet-preact, arch_d standard, lr_d 0.0002",
        "twin: arch_g standard, arch_d standard, lr_d 0.00030000000000000003",
    ]
