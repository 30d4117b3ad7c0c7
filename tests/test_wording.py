"""Counts in messages."""

from __future__ import annotations

from sngan_cli.wording import counted, joined, printable, shortened, sized, steps_in_words


def test_one_is_singular_and_all_else_plural() -> None:
    assert [counted(n, "step") for n in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert [counted(n, "class", "classes") for n in (1, 3)] == ["1 class", "3 classes"]


def test_several_steps_are_called_by_the_first_and_the_last() -> None:
    assert [steps_in_words(steps) for steps in ([2], [2, 4], [50, 100, 340])] == [
        "step 2", "steps 2 to 4", "steps 50 to 340",
    ]  # fmt: skip


def test_sizes_are_in_powers_of_1024() -> None:
    assert [sized(n) for n in (0, 1, 1023, 1024, 1536)] == ["0 bytes", "1 byte", "1023 bytes", "1.0 KiB", "1.5 KiB"]
    assert [sized(n) for n in (104 * 2**20, 2**30, 3 * 2**40, 2**53)] == [
        "104.0 MiB", "1.0 GiB", "3.0 TiB", "8192.0 TiB",
    ]  # fmt: skip


def test_a_line_of_progress_leaves_out_what_is_not_known() -> None:
    assert joined("step 1/2", "", "3 images/s", "") == "step 1/2  3 images/s"


def test_a_long_text_is_cut_after_sixty_letters() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 60 + "…"


def test_what_terminals_obey_is_spelt_out() -> None:
    assert printable("a\x1b[31m\u202eb\u2066c\n") == "a\\x1b[31m\\u202eb\\u2066c\\n"
    assert printable("a\nb", but="\n") == "a\nb"
    assert printable("日本 👩\u200d🎨 עברית") == "日本 👩\u200d🎨 עברית"
