"""Plots of records as SVG: the same bytes for the same records, readable on light and on dark pages.

Text is drawn as paths, so a plot looks the same everywhere; the page's alternative text says what is on it. Colours that are
not data's are swapped by a style sheet inside the file where the reader's pages are dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from benchmarks.palette import DARK, LIGHT, Ink, look, name_of
from benchmarks.records import Record
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

SPANS_DECADES = 20
"""From this ratio of the largest to the smallest value on, a scale is logarithmic."""
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "tacita",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.color": LIGHT.text,
    "axes.labelcolor": LIGHT.text,
    "axes.edgecolor": LIGHT.grid,
    "xtick.color": LIGHT.text,
    "ytick.color": LIGHT.text,
    "grid.color": LIGHT.grid,
    "grid.linewidth": 0.8,
    "figure.facecolor": LIGHT.paper,
    "axes.facecolor": LIGHT.paper,
    "savefig.facecolor": LIGHT.paper,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes: a value for each system and row."""

    title: str
    unit: str
    rows: Sequence[str]
    values: Mapping[str, Mapping[str, Record]]
    """Records by system, then row."""
    better: str
    """`higher` or `lower`."""


def svg(figure: Figure) -> str:
    """The figure as text, without a date, with the dark style sheet."""
    held = io.StringIO()
    figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    text = re.sub(r"(?m)[ \t]+$", "", held.getvalue())
    return text.replace("<defs>", f"{_dark(LIGHT, DARK)}\n <defs>", 1)


def _dark(light: Ink, dark: Ink) -> str:
    rules = []
    for name in ("paper", "text", "grid"):
        old, new = getattr(light, name), getattr(dark, name)
        rules += [f'[style*="{part}: {old}"]{{{part}:{new} !important}}' for part in ("fill", "stroke")]
    # Glyphs without a style of their own are black.
    return f"<style>@media (prefers-color-scheme: dark){{{''.join(rules)}}}</style>"


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.06))
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def drawn(make: Callable[[], Figure]) -> str:
    """The SVG of a figure made under our style."""
    with mpl.rc_context(STYLE):
        return svg(make())


def dots(panels: Sequence[Panel], systems: Sequence[str], *, width: float = 9.0) -> Figure:
    """Panels side by side; a row for each case, a mark for each system, a bar for its interval.

    Where there is one case, every system has its name beside its mark, and there is no legend.
    """
    rows = max(len(panel.rows) for panel in panels)
    figure, axes = _figure(width, 1.25 + rows * (0.16 * len(systems) + 0.22), len(panels))
    for number, (panel, axis) in enumerate(zip(panels, axes, strict=True)):
        _dots(axis, panel, list(systems))
        if number:
            axis.set_yticklabels([])
    if rows > 1:
        _legend(figure, axes[0], systems, width)
    return figure


def _dots(axis: Axes, panel: Panel, systems: list[str]) -> None:
    spread = 0.72 / max(len(systems), 1)
    seen: list[float] = []
    for place, system in enumerate(systems):
        colour, mark = look(system, systems)
        labelled = False
        for row, name in enumerate(panel.rows):
            record = panel.values.get(system, {}).get(name)
            if record is None or record.value is None:
                continue
            at = row + (place - (len(systems) - 1) / 2) * spread
            seen.append(record.value)
            if record.low is not None and record.high is not None:
                axis.plot([record.low, record.high], [at, at], color=colour, linewidth=1.6, alpha=0.55)
            label = None if labelled else name_of(system)
            size = 7.5 if system == "tacita" else 5.5
            axis.plot([record.value], [at], mark, color=colour, markersize=size, label=label, linestyle="none")
            labelled = True
    if len(panel.rows) == 1:
        places = [(place - (len(systems) - 1) / 2) * spread for place in range(len(systems))]
        axis.set_yticks(places, [name_of(system) for system in systems])
    else:
        axis.set_yticks(range(len(panel.rows)), panel.rows)
    axis.set_ylim(len(panel.rows) - 0.5, -0.5)
    for edge in range(1, len(panel.rows)):
        axis.axhline(edge - 0.5, color=LIGHT.grid, linewidth=0.6)
    axis.tick_params(length=0, which="both")
    axis.grid(axis="x")
    arrow = "more is better" if panel.better == "higher" else "less is better"
    title = f"{panel.title}: {panel.rows[0]}" if len(panel.rows) == 1 else panel.title
    axis.set_title(title, fontsize=10.5, loc="left")
    axis.set_xlabel(f"{panel.unit} ({arrow})" if panel.unit else arrow)
    _scale(axis, seen, panel.unit)


def _scale(axis: Axes, seen: Sequence[float], unit: str) -> None:
    positive = [value for value in seen if value > 0]
    if unit == "%":
        # Room for a mark on either end.
        axis.set_xlim(-2, 102)
    elif positive and len(positive) == len(seen) and max(positive) / min(positive) >= SPANS_DECADES:
        axis.set_xscale("log")
        axis.set_xlim(min(positive) / 1.8, max(positive) * 1.8)
        axis.xaxis.set_major_locator(LogLocator(10, numticks=12))
        axis.xaxis.set_major_formatter(FuncFormatter(plain))
        axis.xaxis.set_minor_formatter(NullFormatter())
    elif seen:
        axis.set_xlim(0, max(*seen, 1e-9) * 1.08)
        axis.xaxis.set_major_formatter(FuncFormatter(plain))


def plain(value: float, _place: int | None = None) -> str:
    """A number on an axis, without powers: 0.1, 10, 1,000."""
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _legend(figure: Figure, axis: Axes, systems: Sequence[str], width: float) -> None:
    handles, labels = axis.get_legend_handles_labels()
    longest = max((len(name_of(system)) for system in systems), default=1)
    # A letter takes about a twelfth of an inch; mark and gap as much as five.
    columns = max(1, min(len(systems), int(width * 12 / (longest + 5))))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, handletextpad=0.2, columnspacing=1.4)


def curves(
    panels: Sequence[tuple[str, Mapping[str, Sequence[tuple[float, float]]]]], label: str, ylabel: str
) -> Figure:
    """Lines over a logarithmic scale; a panel for each data set, named (title, points by system)."""
    columns = max(len(panels), 1)
    width = max(3.2 * columns, 5.0)
    figure, axes = _figure(width, 3.6, columns)
    for number, ((title, lines), axis) in enumerate(zip(panels, axes, strict=False)):
        systems = list(lines)
        ticks: list[float] = []
        for system, points in lines.items():
            colour, mark = look(system, systems)
            ticks = sorted({*ticks, *(x for x, _ in points)})
            axis.plot(
                [x for x, _ in points],
                [y for _, y in points],
                marker=mark,
                color=colour,
                markersize=5,
                linewidth=2.4 if system == "tacita" else 1.4,
                label=name_of(system),
            )
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator(ticks))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(_short))
        axis.set_ylim(0, 102)
        axis.grid(axis="both")
        axis.tick_params(length=0, which="both")
        axis.set_title(title, fontsize=10.5, loc="left")
        axis.set_xlabel(label)
        if number:
            axis.set_yticklabels([])
        else:
            axis.set_ylabel(ylabel)
    _legend(figure, axes[0], list(panels[0][1]) if panels else [], width)
    return figure


def bars(title: str, shares: Mapping[str, Record], *, width: float = 8.0) -> Figure:
    """Shares of one whole, a bar for each with its figure at the end, in the order given."""
    figure, (axis,) = _figure(width, 0.9 + 0.26 * len(shares))
    values = [one.value or 0.0 for one in shares.values()]
    axis.barh(range(len(values)), values, height=0.62, color=look("tacita", ["tacita"])[0])
    for place, value in enumerate(values):
        axis.text(value, place, f" {value:.1f} %", va="center", fontsize=9)
    axis.set_yticks(range(len(values)), list(shares))
    axis.set_ylim(len(values) - 0.4, -0.6)
    axis.set_xlim(0, max(values, default=1.0) * 1.14)
    axis.xaxis.set_major_formatter(FuncFormatter(plain))
    axis.tick_params(length=0, which="both")
    axis.grid(axis="x")
    axis.set_title(title, fontsize=10.5, loc="left")
    axis.set_xlabel("%")
    return figure


def _short(value: float, _place: int | None = None) -> str:
    return f"{value / 1000:g}k" if value >= 1_000 else f"{value:g}"
