"""What is recorded of where a run is made."""

from __future__ import annotations

import pytest

from sngan_cli import provenance


@pytest.mark.parametrize("arguments", [["--registry", "URL"], ["--registry=URL"]])
def test_a_password_is_not_recorded(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://me:s3cret@host/runs"
    monkeypatch.setattr("sys.argv", ["sngan", *(a.replace("URL", url) for a in arguments), "train", "--steps", "1"])
    command = provenance.environment("cpu", "2", None).command
    assert "s3cret" not in command
    assert "postgresql://me:***@host/runs" in command
    assert command.endswith("train --steps 1")
