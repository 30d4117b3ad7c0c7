"""The first signal is noted, the second obeyed."""

from __future__ import annotations

import os
import signal

import pytest

from sngan_cli.stopping import StopAtOnceError, StopSignal


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
