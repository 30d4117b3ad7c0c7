"""Writes what came of an experiment as a section of an article: Markdown, HTML and pictures, in one folder."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sngan_cli.comparison import metrics_of
from sngan_cli.config import flat, shared_name, united
from sngan_cli.engine import figures, pictures
from sngan_cli.engine.device import resolve_device, set_precision
from sngan_cli.errors import SnganError, UsageError, is_divergence
from sngan_cli.experiments.experiment import Experiment
from sngan_cli.experiments.results import Result, conditions_of, mean_and_deviation
from sngan_cli.plots import LOSSES, plot, title_of
from sngan_cli.run_table import text_of
from sngan_cli.trained import load_generator
from sngan_cli.wording import counted
from sngan_registry import Run, Score, Status, Store, best_of

FIXED = (
    "recipe", "dataset", "size", "conditional", "arch", "arch_g", "arch_d", "norm", "norm_g", "loss", "n_dis",
    "steps", "epochs", "batch_size", "g_batch_size", "lr", "lr_g", "lr_d", "beta1", "beta2", "lr_decay", "fakes", "ema",
    "weights", "flip", "dequantize", "eval_samples", "extractor", "precision",
)  # fmt: skip
"""Settings that a reader wants to know of, in this order, where all runs agree on them."""
_SIDE = 64
"""Pixels that an image has in a figure at least."""


@dataclass(frozen=True)
class Report:
    """The files of a report."""

    markdown: Path
    html: Path


def write(
    experiment: Experiment,
    results: Sequence[Result],
    store: Store,
    runs_folder: Path,
    folder: Path,
    *,
    progress: Callable[[int, int], None],
) -> Report:
    """Write report.md, report.html and their pictures to `folder`; `progress` is told how many figures are drawn."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {str(folder)!r} cannot be made: {error.strerror}. Choose one with -o.") from error
    trained = [result for result in results if result.runs]
    conditions = conditions_of(experiment, results)
    curves = [
        *_curves(results, conditions, metrics_of(_runs(results), _scores(results)), folder, "Scores"),
        *_curves(results, conditions, LOSSES, folder, "Losses"),
    ]
    sections = []
    for number, result in enumerate(trained):
        progress(number, len(trained))
        sections += _section(result, conditions, store, runs_folder, folder)
    progress(len(trained), len(trained))
    lines = [
        *_head(experiment, results),
        *_fixed(results, conditions),
        *_changing(experiment, results, conditions),
        *curves,
        "## Samples and interpolations",
        "",
        "Samples are on the left; on the right each row goes in equal steps from one latent to another"
        + (", one class a row." if any(run.config["conditional"] for run in _runs(results)) else "."),
        "",
        *sections,
    ]
    text = "\n".join(lines).rstrip() + "\n"
    report = Report(folder / "report.md", folder / "report.html")
    report.markdown.write_text(text, encoding="utf-8")
    report.html.write_text(_page(experiment.title, text), encoding="utf-8")
    return report


def _head(experiment: Experiment, results: Sequence[Result]) -> list[str]:
    runs = _runs(results)
    trained = sum(bool(result.runs) for result in results)
    made = dict.fromkeys(f"{run.environment.device}, torch {run.environment.torch}" for run in runs)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    said = [_plain(line) for line in (experiment.source, experiment.note.replace("\n", " ")) if line]
    cases = counted(len(results), "case")
    cases = f"{trained} of {cases} trained" if trained < len(results) else cases
    return [
        f"# {_plain(experiment.title)}", "",
        *(line for text in said for line in (text, "")),
        f"{cases}, {counted(len(runs), 'run')} on {'; '.join(made)}. "
        f"Written by sngan {version('sngan')} on {today}.", "",
    ]  # fmt: skip


def _fixed(results: Sequence[Result], conditions: Sequence[str]) -> list[str]:
    """What all runs agree on, beside what the experiment itself says where that is something else."""
    actual = [flat(run.config) for run in _runs(results)]
    agreed = united({k: v for k, v in actual[0].items() if all(k in other and other[k] == v for other in actual)})
    changing = {name for key in conditions for name in _names_of(key)}
    rows = []
    for key in sorted(agreed.keys() - changing - {"device", "data_dir"}, key=_place_of):
        value = agreed[key]
        own = [text_of(own) for own in dict.fromkeys(r.intended.get(key) for r in results) if own is not None]
        changed = bool(own) and own != [text_of(value)]
        if value is not None and (key.partition(".")[0] in FIXED or changed):
            rows.append([f"`{key}`", text_of(value), " or ".join(own) if changed else ""])
    differs = any(row[2] for row in rows)
    table = _table(["setting", "value", "in the experiment"] if differs else ["setting", "value"],
                   [row if differs else row[:2] for row in rows])  # fmt: skip
    return ["## Fixed conditions", "", *table, ""]


def _changing(experiment: Experiment, results: Sequence[Result], conditions: Sequence[str]) -> list[str]:
    metrics = metrics_of(_runs(results), _scores(results))
    published = list(dict.fromkeys(metric for case in experiment.cases for metric in case.published))
    shown = [*metrics, *(metric for metric in published if metric not in metrics)]
    protocols = {m: list(dict.fromkeys(s.protocol for s in _scores(results) if s.metric == m)) for m in metrics}
    headings = ["case", *(f"`{key}`" for key in conditions)]
    for metric in shown:
        headings += [f"{title_of(metric)}, best", "last"] if metric in metrics else []
        headings += [f"{title_of(metric)}, published" if metric not in metrics else "published"] * (metric in published)
    headings.append("runs")
    rows = []
    for result in results:
        row = [f"**{result.case.name}**", *(text_of(result.setting(key)) for key in conditions)]
        for metric in shown:
            if metric in metrics:
                row += [_cell(result.scores(metric, last=last), protocols[metric]) for last in (False, True)]
            if metric in published:
                value = result.case.published.get(metric)
                row.append("" if value is None else f"{value:.3f}")
        row.append("; ".join(_state(curves.run) for curves in result.runs) or "not trained")
        rows.append(row)
    notes = [case.note and f"- **{case.name}**: {_plain(case.note)}" for case in experiment.cases]
    return ["## Changing conditions", "", *_table(headings, rows), "", *_measured(experiment, results, protocols),
            *filter(None, notes), ""]  # fmt: skip


def _measured(experiment: Experiment, results: Sequence[Result], protocols: Mapping[str, Sequence[str]]) -> list[str]:
    """How the scores of the table were measured, ours and the published ones."""
    said = []
    for metric, of_metric in protocols.items():
        for number, protocol in enumerate(of_metric):
            said.append(
                f"{title_of(metric)}{'*' * number}: best of the run and last, by `{protocol}`.".replace("*", "\\*")
            )
    if any(len(result.runs) > 1 for result in results):
        said.append("Where a case has several seeds: their mean ± their standard deviation.")
    if any(case.published for case in experiment.cases) and experiment.measured:
        said.append(
            f"Published: {_plain(experiment.measured)}. Where that is another way than ours, compare the order of the "
            "cases, not the values."
        )
    unscored = [curves.run.id for result in results for curves in result.runs if not curves.scores]
    if unscored:
        said.append(f"Not scored: {', '.join(f'`{id_}`' for id_ in unscored)}; `sngan runs show` says why.")
    return [line for text in said for line in (text, "")]


def _curves(
    results: Sequence[Result], conditions: Sequence[str], names: Sequence[str], folder: Path, title: str
) -> list[str]:
    """Plot each of `names` for all runs that have it; returns the section that shows the plots."""
    lines = []
    for name in names:
        having = [(result, curves) for result in results for curves in result.runs if curves.named(name)]
        if not having:
            continue
        labels = {curves.run.id: _label(result, conditions) for result, curves in having}
        plot([curves for _, curves in having], name, folder / f"{name}.png", labels)
        lines += [f"![{title_of(name)} of all cases over generator updates]({name}.png)", ""]
    return [f"## {title}", "", *lines] if lines else []


def _section(result: Result, conditions: Sequence[str], store: Store, runs_folder: Path, folder: Path) -> list[str]:
    """The part of one case: its figure, drawn from the best checkpoint of its first run where that is scored."""
    curves = result.runs[0]
    run, case = curves.run, result.case
    judged = next(iter(run.config["metrics"]), None)
    scores = [score for score in curves.scores if score.metric == judged]
    heading = [f"### Case {case.name}", "", f"{_plain(_in_words(result, conditions))}.", ""]
    if scores:
        best = best_of(scores)
        value = case.published.get(best.metric)
        published = "" if value is None else f" (published: {value:.3f})"
        heading += [f"{title_of(best.metric)} {best.value:.3f} at step {best.step}{published}, seed {run.seed}.", ""]
    try:
        set_precision("fp32", resolve_device("auto"))
        trained = load_generator(store, run, runs_folder, "best" if scores else "last", weights=None, device="auto")
    except SnganError as error:
        return [*heading, f"There is no figure: {_plain(str(error))}", ""]
    classes = len(trained.class_names) if trained.class_names else None
    scale = max(1, _SIDE // (run.config["size"] or _SIDE))
    picture = figures.samples_beside_paths(
        trained.network, classes, rows=figures.rows_of(classes), steps=10, seed=0, scale=scale
    )
    path = folder / f"case-{case.name}.png"
    pictures.save(picture, path)
    return [*heading, f"![Samples beside interpolations, run {run.id}, step {trained.step}]({path.name})", "",
            f"Run `{run.id}`, step {trained.step}.", ""]  # fmt: skip


def _cell(scores: Sequence[Score], protocols: Sequence[str]) -> str:
    """Mean ± standard deviation, starred where it was measured by another protocol than the first."""
    if not scores:
        return ""
    mean, deviation = mean_and_deviation(scores)
    mark = "\\*" * max(protocols.index(score.protocol) for score in scores)
    return f"{mean:.3f}" + (f" ± {deviation:.3f}" if deviation is not None else "") + mark


def _state(run: Run) -> str:
    how = "diverged" if run.status is Status.FAILED and is_divergence(run.reason) else run.status
    where = f"{run.step}" if run.step == run.steps else f"{run.step} of {run.steps}"
    return f"`{run.id}`" + ("" if run.status is Status.FINISHED else f" {how} at step {where}")


def _label(result: Result, conditions: Sequence[str]) -> str:
    return f"{result.case.name}: {result.case.note or _in_words(result, conditions)}"


def _in_words(result: Result, conditions: Sequence[str]) -> str:
    return ", ".join(f"{key} {text_of(result.setting(key))}" for key in conditions) or "the fixed conditions"


def _names_of(key: str) -> set[str]:
    """All names of a setting that networks may share: `lr` is `lr_g` and `lr_d`, too."""
    role, dot, option = key.partition(".")
    of_g = f"{role.removesuffix('_g').removesuffix('_d')}_g{dot}{option}"
    names = shared_name(of_g)
    return {key} if names is None else {of_g, *names}


def _place_of(key: str) -> tuple[int, str]:
    top = key.partition(".")[0]
    return (FIXED.index(top) if top in FIXED else len(FIXED), key)


def _runs(results: Sequence[Result]) -> list[Run]:
    return [curves.run for result in results for curves in result.runs]


def _scores(results: Sequence[Result]) -> list[Score]:
    return [score for result in results for curves in result.runs for score in curves.scores]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (headings, *rows)]
    return ["| " + " | ".join(row) + " |" for row in (cells[0], ["---"] * len(headings), *cells[1:])]


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def _page(title: str, text: str) -> str:
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return _PAGE.format(title=html.escape(title), body=body)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 80rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #222; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }}
img {{ max-width: 100%; }}
img[src^="case-"] {{ image-rendering: pixelated; }}
code {{ background: #f4f4f4; padding: 0 .2em; }}
</style>
</head>
<body>
{body}</body>
</html>
"""
