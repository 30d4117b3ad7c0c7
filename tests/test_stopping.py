"""The first signal is noted, the second obeyed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from sngan_cli.stopping import EXIT_CODES, StopAtOnceError, StopSignal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_the_first_signal_is_noted_and_the_second_obeyed(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.exit_code == code
        with pytest.raises(StopAtOnceError):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_the_first_signal_is_acknowledged_at_once_and_once_even_amid_what_speaking_waits_for() -> None:
    printing, said, spoken = threading.Lock(), list[str](), threading.Event()

    def say(line: str) -> None:
        assert printing.acquire(timeout=10)
        said.append(line)
        spoken.set()

    with StopSignal(say):
        with printing:
            os.kill(os.getpid(), signal.SIGINT)
        assert spoken.wait(10)
        os.kill(os.getpid(), signal.SIGHUP)
    assert said == ["stopping at the end of this step; another Ctrl-C or SIGTERM stops at once"]


def test_a_signal_is_acknowledged_before_anything_is_said_of_the_end_and_nothing_where_there_is_none() -> None:
    said: list[str] = []
    with StopSignal(lambda line: said.append("stopping")):
        os.kill(os.getpid(), signal.SIGTERM)
    assert said == ["stopping"]
    with StopSignal(said.append):
        pass
    assert said == ["stopping"]


def test_what_begins_again_within_the_same_is_acknowledged_too() -> None:
    said: list[str] = []
    stop = StopSignal(lambda line: said.append("stopping"))
    with stop:
        pass
    with stop:
        os.kill(os.getpid(), signal.SIGTERM)
    assert said == ["stopping"]


def test_a_closed_terminal_is_noted_however_often_it_is_told() -> None:
    with StopSignal() as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        assert (stop.received, stop.exit_code) == (signal.SIGHUP, 75)
        with pytest.raises(StopAtOnceError):
            os.kill(os.getpid(), signal.SIGTERM)


def test_nohup_is_obeyed() -> None:
    program = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from sngan_cli.stopping import StopSignal\n"
        "with StopSignal() as stop: signal.raise_signal(signal.SIGHUP); print(stop())"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_a_patient_process_notes_any_number_of_signals() -> None:
    with StopSignal(patient=True) as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received is signal.SIGTERM


def test_a_third_signal_does_not_disturb_how_the_second_ends_it() -> None:
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    reached = []

    def signalled() -> None:
        with StopSignal():
            signal.raise_signal(signal.SIGTERM)
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGTERM)
                reached.append("the end")

    try:
        with pytest.raises(StopAtOnceError) as stopped:
            signalled()
        signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (reached, stopped.value.exit_code) == (["the end"], 130)
