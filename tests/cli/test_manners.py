"""How the program ends, whatever happens in it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sngan_cli import paths
from sngan_cli.engine import device
from sngan_registry import Status, Store

FULL = Path("/dev/full")
"""A file that has no room."""
ABSENT = [
    "runs show nobody", "sample nobody -o x.png", "train --like nobody", "train --resume nobody",
    "sample tiny --checkpoint 3 -o x.png", "evaluate tiny --checkpoint 3", "train --resume tiny --checkpoint 3",
    "sample tiny --class zebra -o x.png", "interpolate tiny --class 0:99 -o x.png", "train --dataset shaps",
    "train --dataset shapes --loss hnge", "train --dataset shapes --metric fidd",
    "train --dataset shapes --recipe papr", "train --dataset shapes --extractor mine",
    "datasets preview shaps -o x.png", "plugins show hnge", "plugins check hnge", "extractors show mine",
    "extractors rm mine", "extractors restore mine", "extractors register mine",
    "extractors train mine --dataset shaps", "evaluate tiny --extractor mine", "evaluate tiny --metric fidd",
    "evaluate tiny --protocol quik", "train --dataset folder --data-dir nowhere",
    "train --dataset cifar10 --data-dir nowhere", "datasets prepare folder --data-dir nowhere",
    "datasets prepare stl10 --data-dir nowhere", "extractors train mine --dataset folder --data-dir nowhere",
    "train --config nowhere.toml", "evaluate --images nowhere",
    "evaluate tiny --extractor inception-v3 --set extractor.weights=nowhere.pth", "experiments show nothing",
    "experiments show nowhere.toml", "experiments run cifar10-resnet --case 99", "experiments report nothing",
    "scores rm theirs", "scores list --metric fidd", "runs plot tiny --what fidd -o x.png",
    "runs tag tiny --remove tset", "runs import nowhere.zip", "runs restore nobody",
    "registry rebuild --runs nowhere",
]  # fmt: skip
"""Commands that name what is not there, beside a run `tiny`."""


def test_a_failure_nobody_foresaw_is_one_line_and_a_traceback_on_request(
    sngan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("the unforeseen")

    monkeypatch.setattr(paths, "open_store", fail)
    monkeypatch.delenv("SNGAN_DEBUG", raising=False)
    done = sngan("runs", "list")
    assert done.code == 1
    assert "internal error: RuntimeError: the unforeseen" in done.err
    assert "Traceback" not in done.err
    monkeypatch.setenv("SNGAN_DEBUG", "1")
    assert "Traceback" in sngan("runs", "list").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("frobnicate", "No such command 'frobnicate'. See `sngan --help`."),
        ("runs lst", "No such command 'lst'. Did you mean 'list'?"),
        ("train --nonsense", "There is no option '--nonsense'. See `sngan train --help`."),
        ("train --dataet x", "There is no option '--dataet'. Did you mean '--dataset'?"),
        ("sample", "Missing argument 'RUN_ID'. See `sngan sample --help`."),
        ("train --steps", "Option '--steps' requires an argument."),
        ("evaluate --truncation x", "Invalid value for '--truncation': 'x' is no number from 0.01 to 10."),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(sngan: Any, arguments: str, said: str) -> None:
    done = sngan(*arguments.split())
    assert (done.code, done.out, done.err) == (2, "", f"error: {said}\n")


def test_a_group_without_a_command_shows_its_help(sngan: Any) -> None:
    done = sngan("runs")
    assert done.err.startswith("Usage: sngan runs [OPTIONS] COMMAND [ARGS]...\n")
    assert "error" not in done.err


def test_what_is_named_and_is_not_there_exits_with_3(
    sngan: Any, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ABSENT:
        done = sngan(*arguments.split())
        assert (done.code, done.out) == (3, ""), f"{arguments}: {done.err}"


def test_version(sngan: Any) -> None:
    assert sngan("--version").out.startswith("sngan 0.")


def test_bf16_is_said_once_to_be_slow_where_it_is(sngan: Any, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "fastest_precision", lambda device: "fp32")
    run = sngan("train", *tiny, "--steps", 1).out.strip()
    for command in (
        ["train", *tiny, "--steps", 1],
        ["evaluate", run, "--protocol", "quick", "--device", "cpu"],
        ["extractors", "train", "mine", *tiny[:4], "--size", 8, "--epochs", 1, "--device", "cpu"],
    ):
        done = sngan(*command, "--precision", "bf16")
        assert (done.code, done.err.count("warning: bf16 is slow here: cpu (")) == (0, 1), done.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_while_the_program_is_imported_ends_it_quietly(number: signal.Signals, code: int) -> None:
    script = f"""
import os, sys

class Signalling:
    def find_spec(name, *_):
        if name == "typer":
            os.kill(os.getpid(), {number:d})

from sngan_cli.__main__ import main
sys.meta_path.insert(0, Signalling)
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_an_interruption_outside_of_training_exits_with_130(home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sngan_cli", "train", "--dataset", "shapes", "--set", "dataset.images=500000",
               "--size", "64", "--arch", "standard", "--set", "arch.width=0.05"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(home.glob("cache/pictures/.*")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()  # nothing where it has ended, as it should
        process.communicate()
    assert process.returncode == 130
    assert said.strip().endswith("interrupted")
    assert list(home.glob("cache/pictures/*")) == []


@pytest.mark.parametrize("buffering", ["buffered", "unbuffered"])
def test_a_reader_that_has_left_is_met_in_silence(home: Path, monkeypatch: pytest.MonkeyPatch, buffering: str) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if buffering == "buffered" else "1")
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "sngan_cli", "runs", "list", "--csv"]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("buffering", ["buffered", "unbuffered"])
def test_a_run_goes_on_though_nobody_reads_its_id(
    home: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch, buffering: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "" if buffering == "buffered" else "1")
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "sngan_cli", "train", *tiny, "--steps", "4"]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    with Store.open(home / "registry.db") as store:
        assert store.get("@last").status is Status.FINISHED


@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("frobnicate", 2)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_on_the_way_out_changes_nothing(argument: str, code: int, number: int) -> None:
    program = (
        "import atexit, os, sys; from sngan_cli import app; sys.argv[1:] = [sys.argv[2]]\n"
        f"atexit.register(lambda: (os.kill(os.getpid(), {number}), print('cleared away'))); app.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "sngan", argument], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert done.stdout.endswith("cleared away\n")
    assert "Stop" not in done.stderr


def test_training_goes_on_when_the_reader_of_its_messages_leaves(home: Path, tiny: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "sngan_cli", "train", *tiny, "--steps", "4"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=write_end, text=True, check=False)
    os.close(write_end)
    assert done.returncode == 0
    with Store.open(home / "registry.db") as store:
        assert store.get(done.stdout.strip()).status is Status.FINISHED


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_training_goes_on_where_there_is_no_room_for_its_messages(home: Path, tiny: list[str]) -> None:
    command = [sys.executable, "-m", "sngan_cli", "train", *tiny, "--steps", "4"]
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.returncode == 0
    with Store.open(home / "registry.db") as store:
        assert store.get(done.stdout.strip()).status is Status.FINISHED


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(("arguments", "code"), [(["runs", "show", "nothing"], 3), (["runs", "list", "--nonsense"], 2)])
def test_an_error_that_cannot_be_said_keeps_its_exit_code(home: Path, arguments: list[str], code: int) -> None:
    with FULL.open("w") as full:
        done = subprocess.run([sys.executable, "-m", "sngan_cli", *arguments], stderr=full, check=False)
    assert done.returncode == code


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_result_that_cannot_be_written_is_an_error(home: Path) -> None:
    command = [sys.executable, "-m", "sngan_cli", "plugins", "list"]
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


@pytest.mark.parametrize(("closed", "out"), [(">&-", ""), ("2>&-", "metric")])
def test_a_stream_that_the_shell_has_closed_is_done_without(home: Path, closed: str, out: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m sngan_cli plugins list {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert out in done.stdout


def test_output_that_is_no_terminal_has_no_colour(sngan: Any, trained: str) -> None:
    assert sngan("train", "--like", trained, "--steps", 1, "--name", "other").code == 0
    compare = ["runs", "compare", trained, "other"]
    for arguments in (["runs", "list"], ["runs", "show", trained], compare, ["plugins", "list"], ["datasets", "list"]):
        assert "\x1b" not in sngan(*arguments).out
