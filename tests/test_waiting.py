"""How torch's threads wait, which is set before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, "None")],
    ids=["neither", "their own", "their own policy"],
)
def test_threads_sleep_soon_unless_the_user_has_said_how_they_wait(given: dict[str, str], found: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | given
    code = (
        "import os, sys, atexit; from sngan_cli import app; sys.argv[1:] = ['--version']\n"
        "atexit.register(lambda: print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))); app.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"False {found}"
