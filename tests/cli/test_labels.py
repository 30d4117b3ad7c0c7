"""`sngan runs tag | name | note`: what a run is called can be changed after it was begun, also in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sngan_registry import Store


def test_labels_change_in_the_registry_and_in_the_folder(sngan: Any, home: Path, trained: str) -> None:
    assert sngan("train", "--like", trained, "--steps", 1, "--name", "other").code == 0
    tagged = sngan("runs", "tag", "tiny", "other", "tiny", "--add", "night", "--add", "a b", "--remove", "test")
    with Store.open(home / "registry.db") as store:
        other = store.get("other").id
        assert (tagged.code, tagged.out) == (0, f"{trained}\ta b\tnight\n{other}\ta b\tnight\n")
        assert sngan("runs", "tag", "tiny").out == f"{trained}\ta b\tnight\n"
        assert sngan("runs", "tag", "tiny", "other", "--json", "--add", "c").json == [
            {"id": trained, "name": "tiny", "tags": ["a b", "c", "night"]},
            {"id": other, "name": "other", "tags": ["a b", "c", "night"]},
        ]
        assert sngan("runs", "tag", "tiny", "other", "--remove", "c").code == 0
        assert sngan("runs", "note", "tiny", "first\nand best").code == 0
        assert sngan("runs", "name", "tiny", "the one").code == 0
        run = store.get("the one")
        assert (run.id, run.note, run.tags) == (trained, "first\nand best", ("a b", "night"))
        described = json.loads((home / "runs" / trained / "run.json").read_text(encoding="utf-8"))["run"]
        assert [described[key] for key in ("name", "note", "tags")] == ["the one", "first\nand best", ["a b", "night"]]
        assert [summary.run.id for summary in store.summaries(tags=("night",))] == [other, trained]
        assert sngan("runs", "name", trained, "").code == 0
        assert sngan("runs", "note", trained, "").code == 0
        assert (store.get(trained).name, store.get(trained).note) == (None, None)
    assert [path.name for path in (home / "runs" / trained).glob(".*")] == []


def test_a_name_that_another_run_has_is_warned_of(sngan: Any, trained: str) -> None:
    def warned(run: str) -> str:
        return f"warning: 'tiny' is already the name of run {run}: from now on only their ids tell these runs apart.\n"

    began = sngan("train", "--like", trained, "--steps", 1, "--name", "tiny")
    assert (began.code, warned(trained) in began.err) == (0, True)
    other = began.out.strip()
    resumed = sngan("train", "--resume", trained, "--steps", 5, "--name", "tiny")
    assert (resumed.code, warned(other) in resumed.err) == (0, True)
    assert sngan("runs", "name", other, "alone").err == ""
    assert sngan("runs", "name", trained, "tiny").err == ""  # its own
    named = sngan("runs", "name", other, "tiny")
    assert (named.code, named.err) == (0, warned(trained))
    assert sngan("runs", "name", other, "").err == ""
    assert sngan("runs", "name", trained, "").err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tag", "tiny", "--add", " "], 2, "--add ' ' is empty."),
        (["tag", "tiny", "--add", "x" * 256], 2, "--add xxxxxxxxxxxxxxxxxxxx... has 256 letters: 255 are allowed."),
        (
            ["tag", "tiny", "--add", "a\tb"],
            2,
            r"--add 'a\tb' holds control characters, such as line breaks: leave them out.",
        ),
        (["tag", "tiny", "--add", "b", "--remove", "b"], 2, "The tag 'b' cannot be given and taken away at once"),
        (["tag", "tiny", "--remove", "tset"], 3, "has no tag 'tset'. Did you mean 'test'?"),
        (["tag", "tiny", "tinny", "--add", "b"], 3, "There is no run 'tinny'. Did you mean 'tiny'?"),
        (["name", "tiny", "@last"], 2, "The name @last: names that begin with @ stand for runs"),
        (["name", "tiny", "1m88mm6bzf6"], 2, "The name 1m88mm6bzf6 could be the id of a run: choose another."),
        (["note", "tiny", "\udc80"], 2, r"The note '\udc80' is no valid Unicode"),
        (["note", "tiny", "\x1b[2J"], 2, r"The note '\x1b[2J' holds control characters, which a terminal would obey"),
        (["note", "nobody", "text"], 3, "There is no run 'nobody'."),
    ],
)
def test_what_is_refused_changes_nothing(
    sngan: Any, home: Path, trained: str, arguments: list[str], code: int, message: str
) -> None:
    with Store.open(home / "registry.db") as store:
        before = store.run(trained)
        done = sngan("runs", *arguments)
        assert done.code == code
        assert message in done.err
        assert store.run(trained) == before
