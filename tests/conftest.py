"""What all tests share: few threads, a home of their own, and no network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh $SNGAN_HOME for each test; no settings of the machine's user leak in."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SNGAN_HOME", str(folder))
    monkeypatch.delenv("SNGAN_REGISTRY", raising=False)
    monkeypatch.delenv("SNGAN_INCEPTION_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    return folder


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> None:
    """Tiny networks are fastest on one thread, and two cores are few."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails at once, as it would without a network."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX or (isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1")):
            return connect(self, address)  # type: ignore[arg-type]
        raise OSError(f"tests have no network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", _no_lookup)


def _no_lookup(host: object, *_: object, **__: object) -> list[object]:
    raise socket.gaierror(f"tests have no network: {host}")
