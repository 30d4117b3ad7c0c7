"""`sngan plugins` beside plugins that are broken: they are reported, and break nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sngan_cli.catalog import Catalog


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with a loss whose module is not there, and one whose name another distribution has taken."""
    metadata = tmp_path / "broken_plugin-2.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 2.5\n")
    (metadata / "entry_points.txt").write_text("[sngan.losses]\nbroken = nowhere_at_all:Loss\nhinge = mine:Hinge\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    Catalog.installed.cache_clear()
    yield
    Catalog.installed.cache_clear()


@pytest.mark.usefixtures("broken")
def test_a_broken_plugin_and_a_name_taken_twice_are_listed_with_their_reasons(sngan: Any) -> None:
    done = sngan("plugins", "list", "--kind", "loss", "--json")
    assert done.code == 0
    problems = {(entry["name"], entry["distribution"]): entry["problem"] for entry in done.json}
    assert "cannot be imported from nowhere_at_all:Loss: ModuleNotFoundError" in problems["broken", "broken-plugin"]
    for owner in ("sngan", "broken-plugin"):
        assert "is offered by broken-plugin 2.5 and sngan" in problems["hinge", owner]
    assert problems["cross-entropy", "sngan"] is None
    assert "ModuleNotFoundError" in sngan("plugins", "list").out


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("broken", 1, "of broken-plugin 2.5 cannot be imported"),
        ("hinge", 2, "is offered by broken-plugin 2.5 and sngan"),
        ("cross-entrpy", 2, "There is no component 'cross-entrpy'. Did you mean 'cross-entropy'?"),
    ],
)
def test_what_cannot_be_shown_says_why(sngan: Any, name: str, code: int, message: str) -> None:
    done = sngan("plugins", "show", name)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_name_of_another_kind_is_unknown_to_this_one(sngan: Any) -> None:
    assert "There is no component 'hinge'." in sngan("plugins", "show", "hinge", "--kind", "dataset").err
    assert sngan("plugins", "show", "hinge", "--kind", "loss").out.startswith("loss hinge\nfrom sngan ")
