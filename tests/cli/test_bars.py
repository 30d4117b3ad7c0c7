"""Bars on a terminal: what stays of a line where the terminal is narrow, and that all look alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sngan_cli import console
from sngan_cli.bars import Bars, progress
from sngan_cli.catalog import Catalog
from sngan_cli.composition import compose
from sngan_cli.config import Layer, recipe
from sngan_cli.display import Display
from sngan_cli.engine.classifier import Trained
from sngan_cli.events import Scored, Stepped
from sngan_cli.extractor_display import ExtractorDisplay

Terminal = Callable[[int], Console]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which the test alone lets pass."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> Terminal:
    def of(width: int) -> Console:
        made = Console(
            file=StringIO(), force_terminal=True, width=width, color_system=None, highlight=False,
            get_time=lambda: clock[0],
        )  # fmt: skip
        monkeypatch.setattr(console, "stderr", lambda: made)
        return made

    return of


def lines(shown: Bars) -> list[str]:
    """What stands beside the bars."""
    paper = Console(file=StringIO(), width=shown._console.width, color_system=None)
    with paper.capture() as drawn:
        paper.print(shown._bars)
    return [" ".join(re.sub("[━╸╺]+", "", line).split()) for line in drawn.get().splitlines()]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (60, "training 12345/100000 is = 3.412 … 512 images/s 3:02:37"),
        (80, "training 12345/100000 is = 3.412 loss D 1.234 … 512 images/s 3:02:37"),
        (120, "training 12345/100000 is = 3.412 loss D 1.234 G -0.567 512 images/s 3:02:37"),
    ],
)
def test_the_text_of_training_is_cut_and_its_steps_rate_and_time_left_stay(
    terminal: Terminal, clock: list[float], tmp_path: Path, width: int, line: str
) -> None:
    terminal(width)
    config = compose([recipe("fast"), Layer("base", {"dataset": "shapes"})], Catalog.installed()).config
    with Display() as display:
        display.begin("1m8", tmp_path, config, 12_000)
        display(Scored(12_000, "is", 3.412, None, True, "", {"images": 5000}))
        for step in range(12_001, 12_346):
            clock[0] += 1 / 8
            display(Stepped(step, {"loss_d": 1.234, "loss_g": -0.567}))
        assert lines(display) == [line]


def test_a_long_title_is_cut_before_what_is_counted(terminal: Terminal, clock: list[float]) -> None:
    terminal(60)
    with Bars() as shown:
        for done in range(0, 600, 100):
            clock[0] += 2
            shown.show("scoring " + "a/long/folder/" * 9, done, 50_000)
        assert lines(shown) == ["scoring a/long/folder/a/long/fol… 500/50000 50/s 16:30"]


def test_whatever_is_counted_has_a_rate_and_the_time_left(terminal: Terminal, clock: list[float]) -> None:
    terminal(100)
    with Bars() as shown:
        for done in (0, 1, 2):
            clock[0] += 4
            shown.show("checking promises", done, 12)
            shown.show("preparing pictures", done * 1000, 12_000)
        assert lines(shown) == ["checking promises 2/12 0.25/s 00:40", "preparing pictures 2000/12000 250/s 00:40"]


def test_without_a_terminal_there_is_a_line_each_half_minute(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Bars() as shown:
        for done in range(0, 1000, 100):
            shown.show("scoring step 5", done, 1000)
            shown.show("counting", done, None)
            clock[0] += 10
        shown.show("scoring step 5", 1000, 1000)
        shown.show("scoring step 6", 0, 1000)
        clock[0] += 29
        shown.show("scoring step 6", 10, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "scoring step 5  300/1000  0:01:10 left",
        "scoring step 5  600/1000  0:00:40 left",
        "scoring step 5  900/1000  0:00:10 left",
    ]


def test_bytes_are_counted_in_the_unit_that_is_said(terminal: Terminal, clock: list[float]) -> None:
    terminal(100)
    with Bars("MiB") as shown:
        for done in (0, 30.5, 91.25):
            clock[0] += 1
            shown.show("comparing SHA-256", done, 1000.0)
        assert lines(shown) == ["comparing SHA-256 91/1000 MiB 61 MiB/s 00:15"]


def test_the_training_of_an_extractor_has_a_rate_too(terminal: Terminal, clock: list[float]) -> None:
    terminal(100)
    with ExtractorDisplay() as display:
        display.begin("an extractor", 12)
        assert lines(display) == ["training"]
        for step in (1, 2, 3):
            clock[0] += 0.05
            display.trained(Trained(step, 600, 1, 2.5))
        assert lines(display) == ["training 3/600 epoch 1/12 loss 2.500 20/s 00:30"]


def test_the_accuracy_of_an_extractor_is_there_where_little_else_is(terminal: Terminal, clock: list[float]) -> None:
    terminal(60)
    with ExtractorDisplay() as display:
        display.begin("an extractor", 12)
        for step in range(4001, 4005):
            clock[0] += 0.01
            display.trained(Trained(step, 12_345, 4, 2.005, accuracy=0.861))
        assert lines(display) == ["training 4004/12345 accuracy 86.1% epoch … 100/s 01:24"]


def test_a_bar_is_there_before_the_first_count_and_gone_after_the_last(terminal: Terminal) -> None:
    out = terminal(100).file
    assert isinstance(out, StringIO)
    with progress("packing files") as report:
        assert "packing files" in out.getvalue()
        out.truncate(0)
        report(3, 3)
    assert "3/3" not in out.getvalue()


def test_a_warning_above_a_bar_is_whole(terminal: Terminal) -> None:
    made = terminal(80)
    with Bars() as bars:
        bars.show("decoding", 0, 10)
        bars.warn("[it] is cold")
    assert isinstance(made.file, StringIO)
    shown = re.split(r"\x1b\[2K", made.file.getvalue())
    assert any(part.startswith("warning: [it] is cold\n") for part in shown)
