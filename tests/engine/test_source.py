"""What is kept is another's where its code is: another class, or another file of its package."""

from __future__ import annotations

from pathlib import Path

import pytest

from sngan_cli.engine.source import source_sha256


def test_all_code_of_a_package_counts_and_each_of_its_classes_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "drawn_pictures"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text("from .shapes import One, Other\n")
    (package / "shapes.py").write_text("class One: ...\nclass Other: ...\n")
    (package / "parts" / "prepare.py").write_text("GREY = 1\n")
    (package / "notes.txt").write_text("no code")
    monkeypatch.syspath_prepend(tmp_path)
    import drawn_pictures  # type: ignore[import-not-found]

    def found() -> list[str]:
        return [source_sha256(kind) for kind in (drawn_pictures.One, drawn_pictures.Other)]

    first = found()
    assert len({*first}) == 2
    assert found() == first
    (package / "notes.txt").write_text("none either")
    assert found() == first
    (package / "parts" / "prepare.py").write_text("GREY = 2\n")
    assert not {*found()} & {*first}
