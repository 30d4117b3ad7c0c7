"""A store on every back end at hand: SQLite always, PostgreSQL where SNGAN_TEST_POSTGRES holds a URL."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from sngan_registry import Component, Environment, NewRun, Store

NewRunFactory = Callable[..., NewRun]
Execute = Callable[..., None]


SERVER = os.environ.get("SNGAN_TEST_POSTGRES", "")


@pytest.fixture(params=["sqlite", "postgresql"] if SERVER else ["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'registry.db'}"
        return
    schema = f"sngan_{uuid.uuid4().hex[:12]}"
    admin = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    own = make_url(SERVER).update_query_dict({"options": f"-csearch_path={schema}"})
    yield own.render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def execute(url: str) -> Iterator[Execute]:
    """Run SQL behind the store's back."""
    engine = create_engine(url)

    def run(statement: str, **values: Any) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement), values)

    yield run
    engine.dispose()


@pytest.fixture
def environment() -> Environment:
    """This very process."""
    return Environment(
        sngan="0.1.0",
        python="3.11.7",
        torch="2.11.0",
        cuda=None,
        device="cpu",
        host=socket.gethostname(),
        pid=os.getpid(),
        git_commit=None,
        command="sngan train --dataset shapes",
    )


@pytest.fixture
def new_run(environment: Environment) -> NewRunFactory:
    """Make a `NewRun` that differs from the usual one in what is given."""

    def make(**changes: Any) -> NewRun:
        usual = {
            "config": {"n_dis": 5, "lr": 2e-4, "conditional": True, "recipe": "paper", "loss": {"name": "hinge"}},
            "components": (component("arch_g", "standard", width=0.25), component("loss", "hinge")),
            "environment": environment,
            "seed": 7,
            "steps": 100,
        }
        return NewRun(**{**usual, **changes})

    return make


def component(role: str, name: str, **options: Any) -> Component:
    return Component(role=role, name=name, distribution="sngan", version="0.1.0", options=options)


@pytest.fixture
def dead_pid() -> int:
    """Id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid
