"""What was taken into the registry, as it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sngan_cli import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sngan_cli.registry_rebuild import Refused, Taken


def tell_taken(done: Sequence[Taken | Refused], *, as_json: bool, **more: object) -> tuple[bool, bool]:
    """Say what was taken in, and what was not; returns whether anything was, and whether anything was not.

    JSON has `more` besides.
    """
    from sngan_cli.registry_rebuild import Refused, Taken

    taken, refused = [d for d in done if isinstance(d, Taken)], [d for d in done if isinstance(d, Refused)]
    if as_json:
        console.print_json({**more, "taken": [vars(t) for t in taken], "refused": [vars(r) for r in refused]})
    else:
        _print(taken, refused)
    return bool(taken), bool(refused)


def _print(taken: Sequence[Taken], refused: Sequence[Refused]) -> None:
    if taken:
        columns = ("kind", "id", "name", "status", "step", "from")
        steps = ["" if t.step is None else str(t.step) for t in taken]
        rows = [
            (t.kind, t.id, t.name or "", t.status or "", step, t.source) for t, step in zip(taken, steps, strict=True)
        ]
        console.print_table(columns, rows, right={"step"}, whole={"kind", "id", "status", "step"}, cut={"name"})
    elif not refused:
        console.say("Every run and every trained extractor that lies here is recorded.")
    for each in taken:
        for remark in each.remarks:
            console.warn(f"{each.id}: {remark}.")
    for each_refused in refused:
        console.warn(f"{each_refused.folder}: nothing was taken in: {each_refused.why.rstrip('.')}.")
