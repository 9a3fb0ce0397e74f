"""The scores as a table for the screen, as Markdown and as JSON: a measure a row, a way of smoothing a column."""

from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.table import Table

from .scores import Scores
from .suite import Report

MEASURES: tuple[tuple[str, str, str], ...] = (
    ("abs_rel", "AbsRel", ".4f"),
    ("abs_rel_per_frame", "AbsRel per frame", ".4f"),
    ("delta1", "δ1", ".4f"),
    ("tae", "TAE, %", ".2f"),
    ("opw", "OPW as published", ".3f"),
    ("opw_global", "OPW over shot range", ".4f"),
    ("excess_flicker", "excess flicker (FE)", ".4f"),
    ("jumping", "pixels jumping > 3 %", ".3f"),
    ("static_flicker", "still flicker (FE0)", ".4f"),
    ("scale_jitter", "scale jitter/frame", ".4f"),
    ("scale_drift", "scale drift", ".3f"),
    ("lag", "lag, frames", ".2f"),
    ("ghosting", "ghosting", ".4f"),
    ("moving_edges", "AbsRel at moving edges", ".4f"),
    ("cut_recovery", "cut recovery, frames", ".1f"),
)
"""Field of ``Scores``, label and format of each row."""


def cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows as text; measures that nobody has are left out."""
    raw = report.rows[0].mean
    lines = [["flicker vs raw", *(_change(row.mean, raw) for row in report.rows)]]
    for name, label, style in MEASURES:
        values = [getattr(row.mean, name) for row in report.rows]
        if any(value is not None for value in values):
            lines.append([label, *("-" if value is None else format(value, style) for value in values)])
    lines.append(["ms a frame", *(f"{row.ms_per_frame:.1f}" if row.ms_per_frame else "" for row in report.rows)])
    return ["", *(row.method for row in report.rows)], lines


def rich_table(report: Report) -> Table:
    """Return the table for a terminal."""
    headings, rows = cells(report)
    table = Table(title=", ".join(report.clips), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=not index)
    for row in rows:
        table.add_row(*row)
    return table


def markdown_table(report: Report) -> str:
    """Return the table as Markdown, with the clips' names below."""
    headings, rows = cells(report)
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", "Clips: " + ", ".join(report.clips) + "."]) + "\n"


def as_record(report: Report) -> dict[str, object]:
    """Return plain values, for JSON."""
    return {
        "clips": report.clips,
        "methods": [
            {
                "method": row.method,
                "mean": asdict(row.mean),
                "per_clip": [asdict(scores) for scores in row.per_clip],
                "ms_per_frame": row.ms_per_frame,
            }
            for row in report.rows
        ],
    }


def _change(scores: Scores, raw: Scores) -> str:
    """Return the change of flicker vs raw, by the best measure there is."""
    for name in ("excess_flicker", "static_flicker", "opw_global"):
        before, after = getattr(raw, name), getattr(scores, name)
        if before and after is not None:
            return "" if scores is raw else f"{100 * (after / before - 1):+.0f} %"
    return ""
