"""Counts in messages."""

from __future__ import annotations

from sngan_cli.wording import counted, shortened


def test_one_is_singular_and_all_else_plural() -> None:
    assert [counted(n, "step") for n in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert [counted(n, "class", "classes") for n in (1, 3)] == ["1 class", "3 classes"]


def test_a_long_text_is_cut_after_sixty_letters() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 60 + "…"
