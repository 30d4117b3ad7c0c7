"""Curves of runs, laid over one another: losses and scores by step."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

from sngan_cli.comparison import differing_settings, metrics_of
from sngan_cli.errors import NotFoundError
from sngan_cli.outputs import written
from sngan_cli.run_table import text_of
from sngan_registry import Run, Scalar, Score

FORMATS = (".png", ".svg", ".pdf")
LOSSES = ("loss_d", "loss_g")
_MARKED = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"))
"""Lines and points of the protocols, where there are several."""
_LINE = 110
"""Letters in a line of the legend."""
_BOOKKEEPING = frozenset({
    "eval_every", "eval_samples", "scored_by", "checkpoint_every", "keep_every", "log_every", "device", "data_dir",
})  # fmt: skip
"""Settings that change what is kept of a run, or where it is trained, and not what comes of it."""
_NOISY = 200
"""Points from which on a curve of losses is drawn faintly, with its running mean over it."""


@dataclass(frozen=True)
class Curves:
    """What was recorded of a run."""

    run: Run
    scalars: Sequence[Scalar]
    scores: Sequence[Score]

    def named(self, name: str) -> dict[str, list[tuple[int, float]]]:
        """Points (step, value) by protocol of the metric `name`, or of the scalar of that name (protocol "")."""
        found: dict[str, list[tuple[int, float]]] = {}
        for score in self.scores:
            if score.metric == name:
                found.setdefault(score.protocol, []).append((score.step, score.value))
        for scalar in self.scalars:
            if scalar.name == name:
                found.setdefault("", []).append((scalar.step, scalar.value))
        return found

    def names(self) -> list[str]:
        """Everything that can be plotted."""
        return sorted({score.metric for score in self.scores} | {scalar.name for scalar in self.scalars})


def plot(runs: Sequence[Curves], what: str, path: Path, labels: Mapping[str, str] | None = None) -> None:
    """Draw `what` (a metric, a scalar, or `losses`) of all runs to a .png, .svg or .pdf.

    Runs are labelled as `labels_of` has it, or by `labels` (by run id; those with the same one share a colour), scores
    of a protocol of their own by that protocol, too. Raises `NotFoundError` for a run that has no such curve.
    """
    from matplotlib import rc_context

    names = LOSSES if what == "losses" else (what,)
    for curves in runs:
        if not any(curves.named(name) for name in names):
            raise NotFoundError(_nothing_to_draw(curves, what))
    labels = labels or labels_of([curves.run for curves in runs])
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():  # a $ in a name is one
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box stands for it
        figure = _figure(runs, names, labels, _title(what))
        with written(path) as partial:
            figure.savefig(partial, dpi=150)


def _figure(runs: Sequence[Curves], names: Sequence[str], labels: Mapping[str, str], title: str) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    colours = {label: f"C{k % 10}" for k, label in enumerate(dict.fromkeys(labels[curves.run.id] for curves in runs))}
    protocols = dict.fromkeys(protocol for curves in runs for name in names for protocol in curves.named(name))
    marked = dict(zip(protocols, cycle(_MARKED), strict=False))
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="generator updates", ylabel=title)
    legend: dict[str, Any] = {}
    for curves in runs:
        for style, name in zip(("-", ":"), names, strict=False):
            for protocol, points in curves.named(name).items():
                label = labels[curves.run.id] + (f"  [{protocol}]" if len(protocols) > 1 else "")
                dash, marker = marked[protocol] if len(protocols) > 1 else (style, "o")
                line = _draw(axes, points, color=colours[labels[curves.run.id]], style=dash, marker=marker)
                legend.setdefault(fill(label, _LINE), line)
    if len(protocols) > 1:
        axes.set_title("measured by several protocols: compare within one only", fontsize="small")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.grid(alpha=0.3)
    figure.legend(legend.values(), legend, loc="outside lower center", fontsize="small")
    return figure


def labels_of(runs: Sequence[Run]) -> dict[str, str]:
    """Call each run by its name (and its id, where others have that name) or id, and say how it differs from others."""
    named = Counter(run.name for run in runs)
    own = {run.id: f"{run.name} ({run.id})" if run.name and named[run.name] > 1 else run.name or run.id for run in runs}
    # Other options come with a component, which says enough.
    differing = {
        key: values
        for key, values in differing_settings(runs).items()
        if len(values) == len(runs) and key not in _BOOKKEEPING
    }
    said = {run.id: ", ".join(f"{key} {text_of(values[run.id])}" for key, values in differing.items()) for run in runs}
    return {run_id: f"{own[run_id]}: {label}" if label else own[run_id] for run_id, label in said.items()}


def first_curve(runs: Sequence[Curves]) -> str:
    """What is plotted of runs where nothing is named: the first metric that all have scores of, else the first's.

    Of runs without scores it is their losses.
    """
    metrics = metrics_of((curves.run for curves in runs), (score for curves in runs for score in curves.scores))
    shared = [metric for metric in metrics if all(curves.named(metric) for curves in runs)]
    return next(iter((*shared, *metrics)), "losses")


def _draw(axes: Any, points: Sequence[tuple[int, float]], *, color: str, style: str, marker: str) -> Any:
    """Draw a curve; returns the line that stands for it."""
    import numpy as np

    steps, values = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    if len(points) < _NOISY:
        shown = marker if len(points) < 30 else None
        return axes.plot(steps, values, style, color=color, marker=shown, markersize=4)[0]
    axes.plot(steps, values, "-", color=color, alpha=0.15, linewidth=0.8)
    width = len(values) // 50
    mean = np.convolve(values, np.ones(width) / width, mode="valid")
    return axes.plot(steps[width - 1 :], mean, style, color=color)[0]


def _title(what: str) -> str:
    titles = {"losses": "loss (D solid, G dotted)", "loss_d": "loss of D", "loss_g": "loss of G"}
    return titles.get(what) or title_of(what)


def title_of(metric: str) -> str:
    """What a metric is called in a sentence."""
    return {"is": "Inception Score"}.get(metric, metric)


def _nothing_to_draw(curves: Curves, what: str) -> str:
    known = curves.names()
    if not known:
        return f"Run {curves.run.id} has recorded nothing to plot yet."
    if set(LOSSES) <= set(known):
        known = ["losses", *known]
    return f"Run {curves.run.id} has no curve {what!r}: choose --what {', '.join(known)}."
