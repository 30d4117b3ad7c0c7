"""The real program, run inside the test's own process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sngan_cli import app, console, waiting
from sngan_cli.stopping import EXIT_CODES

TINY = [
    "--dataset", "shapes", "--set", "dataset.images=20", "--arch", "standard", "--set", "arch.width=0.05",
    "--size", "8", "--batch-size", "4", "--g-batch-size", "4", "--n-dis", "1", "--eval-samples", "20",
    "--set", "metrics.is.splits=2", "--set", "log_every=1", "--device", "cpu",
]  # fmt: skip
"""Arguments of `sngan train` for a run of a second."""


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Sngan = Callable[..., Done]


@pytest.fixture
def sngan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Sngan]:
    """Run `sngan ARGUMENTS`."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["sngan", *map(str, arguments)])
        console.stdout.cache_clear()
        console.stderr.cache_clear()
        capsys.readouterr()
        handlers = {number: signal.getsignal(number) for number in EXIT_CODES}
        try:
            with pytest.raises(SystemExit) as exit_:
                app.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        said = capsys.readouterr()
        return Done(exit_.value.code if isinstance(exit_.value.code, int) else 0, said.out, said.err)

    monkeypatch.delenv(waiting.SPINS, raising=False)  # which each run sets, and the test's end puts back
    yield run
    console.stdout.cache_clear()
    console.stderr.cache_clear()


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Sngan:
    """Run `sngan ARGUMENTS`, behind a width, on a terminal so wide; what it shows is without colours."""

    def run(width: int, *arguments: object) -> Done:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("NO_COLOR", "1")
        terminal, program_end = os.openpty()
        command = [sys.executable, "-m", "sngan_cli", *map(str, arguments)]
        done = subprocess.run(command, stdout=program_end, stderr=subprocess.PIPE, check=True, text=True)
        os.close(program_end)
        shown = os.read(terminal, 100_000).decode().replace("\r\n", "\n")
        os.close(terminal)
        return Done(done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", shown), done.stderr)

    return run


@pytest.fixture
def tiny() -> list[str]:
    """Arguments of `sngan train` for a run of a second."""
    return list(TINY)


@pytest.fixture
def trained(sngan: Sngan) -> str:
    """Id of a conditional run of four steps, with checkpoints of steps 2 and 4 and a score of each."""
    done = sngan("train", *TINY, "--conditional", "--steps", 4, "--eval-every", 2, "--set", "keep_every=1",
                 "--checkpoint-every", 2, "--name", "tiny", "--tag", "test")  # fmt: skip
    assert done.code == 0, done.err
    return done.out.strip()
