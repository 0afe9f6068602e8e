"""From record files to pages: `docs/benchmarks/*.md` and their plots are written here and never by hand.

    python -m benchmarks.report [--records docs/benchmarks/results] [--into docs/benchmarks]

Each file of records becomes a page of the same name. Every page says on what machine, when, and on which commit; runs of
different machines are never mixed in one table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.answering.asking import prompt
from benchmarks.palette import name_of
from benchmarks.plots import Panel
from benchmarks.records import Malformed, Record, Run, read
from benchmarks.retrieval.measuring import BUDGET, BUDGETS, TOKENS, TOKENS_TOP
from matplotlib.figure import Figure

from benchmarks import plots

PAGES = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
MARK = "<!-- Written by `python -m benchmarks.report` from {source}. Do not edit. -->"
OURS = "tacita"
LOWER = frozenset(
    "search_p50 search_p95 cold_ms rss_mb disk_mb lost_of_kills canary_left delete_p50 erase_ms cpu_s question_ms "
    "search_ratio search_least add_ratio add_least".split()
)
"""Measures of which less is better."""
SPEED = {
    "search_p50": "search, median",
    "search_p95": "search, 95th percentile",
    "add_per_s": "single adds",
    "bulk_per_s": "bulk adds",
    "cold_ms": "cold process to first result",
    "rss_mb": "RAM",
    "disk_mb": "disk",
    "mixed_per_s": "mixed load",
    "delete_p50": "delete, median",
    "erase_ms": "erase a person",
    "cpu_s": "CPU",
    "lost_of_kills": "acknowledged adds lost in the kills",
    "acknowledged": "adds acknowledged before the kills",
    "canary_left": "files that hold deleted words",
    "small_beside_large": "found for a small person beside a large one",
    "search_ratio": "search in turn",
    "search_least": "quickest ten searches, median",
    "add_ratio": "single adds in turn",
    "add_least": "quickest ten adds, median",
}
DRAWN = ("search_ratio", "search_p50", "add_per_s", "bulk_per_s", "cold_ms", "rss_mb", "disk_mb")


@dataclass
class Page:
    """Markdown, and the plots that it shows by file name."""

    title: str
    source: str
    parts: list[str] = field(default_factory=list)
    drawings: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return "\n\n".join([MARK.format(source=self.source), f"# {self.title}", *self.parts]) + "\n"

    def draw(self, name: str, alternative: str, make: Callable[[], Figure]) -> None:
        """Add a plot."""
        self.drawings[name] = plots.drawn(make)
        self.parts.append(f"![{alternative}]({name})")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and the others numbers."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" + "---:|" * (len(head) - 1)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Three figures that mean something: 0.042, 1.23, 45.6, 1,234."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def share(record: Record | None) -> str:
    """A value with its interval."""
    if record is None or record.value is None:
        return "-"
    if record.low is None or record.high is None:
        return f"{record.value:.1f}"
    return f"{record.value:.1f} [{record.low:.0f}, {record.high:.0f}]"


def about(run: Run) -> str:
    """Where and when."""
    machine = run.machine
    facts = [
        f"{machine.get('cores', '?')} cores of {machine.get('cpu', '?')}",
        f"{machine.get('ram_gb', '?')} GB of RAM",
    ]
    facts += [f"Python {machine.get('python', '?')}", str(machine.get("kernel", "?")), str(machine.get("date", "?"))]
    if machine.get("commit"):
        facts.append(f"commit {machine['commit']}")
    return f"Measured on {', '.join(facts)}."


def versions(records: Iterable[Record]) -> str:
    """Which version of what."""
    seen = {name_of(one.system): one.version for one in records if one.version}
    return "Versions: " + "; ".join(f"{system}: {version}" for system, version in seen.items()) + "."


Grid = dict[str, dict[str, Record]]


def totals(records: Iterable[Record]) -> Grid:
    """By system and measure, categories left out."""
    found: Grid = {}
    for one in records:
        if not one.category:
            found.setdefault(one.system, {})[one.measure] = one
    return found


def by_case(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for one in records:
        found.setdefault(one.case, []).append(one)
    return found


def bold(system: str, cells: Sequence[str]) -> list[str]:
    """Our row stands out."""
    return [f"**{cell}**" for cell in cells] if system == OURS else list(cells)


# --------------------------------------------------------------------------- retrieval


def retrieval(page: Page, name: str, runs: Sequence[Run]) -> None:
    """Recall by data set, system and category; context for most of the evidence."""
    records = [one for run in runs for one in run.records]
    cases = by_case(records)
    systems = list(dict.fromkeys(one.system for one in records))
    page.parts.append(
        "Does a search find the messages that hold the answer? Every system indexes the same turns and is asked the same "
        "questions in the same run; Tacita through its public API alone. MiniLM is all-MiniLM-L6-v2, the embedder that "
        "Tacita uses too; RRF is the reciprocal rank fusion of BM25 and MiniLM with constant 60 and 5. recall@k is the "
        "share of the evidence among the first k, any@k whether there is any of it, all@k whether all of it is there. In "
        "brackets: 95 % intervals of a bootstrap over conversations, then questions. They say how far a figure may "
        "be off on other conversations; which of two systems is better is told by the paired differences below a table."
    )
    page.parts += [about(runs[0]), versions(records)]
    page.draw(
        f"{name}-recall.svg",
        "recall@10 of each system on each data set, with intervals",
        lambda: plots.dots([_panel("recall@10, turns", "recall@10", cases, systems)], systems, width=8.0),
    )
    page.draw(
        f"{name}-context.svg",
        "Share of the evidence within a budget of context tokens, one panel for each data set",
        lambda: plots.curves(_budgets(cases), "tokens of context", "evidence, %"),
    )
    for case, of in cases.items():
        _retrieval_case(page, name, case, of, systems)


def _panel(title: str, measure: str, cases: Mapping[str, Sequence[Record]], systems: Sequence[str]) -> Panel:
    values: Grid = {system: {} for system in systems}
    for case, of in cases.items():
        for one in of:
            if one.measure == measure and not one.category:
                values[one.system][case] = one
    return Panel(title, "%", list(cases), values, "higher")


def _budgets(cases: Mapping[str, Sequence[Record]]) -> list[tuple[str, dict[str, list[tuple[float, float]]]]]:
    panels = []
    for case, of in cases.items():
        lines: dict[str, list[tuple[float, float]]] = {}
        for system, measures in totals(of).items():
            points = [
                (float(budget), one.value)
                for budget in BUDGETS
                if (one := measures.get(f"recall within {budget} tokens")) is not None and one.value is not None
            ]
            if points:
                lines[system] = points
        if lines:
            panels.append((case, lines))
    return panels


def _retrieval_case(page: Page, name: str, case: str, of: Sequence[Record], systems: Sequence[str]) -> None:
    found = totals(of)
    asked = next((one.n for one in of if one.measure == "recall@10" and not one.category), 0)
    page.parts.append(f"## {case}")
    page.parts.append(f"{asked} questions.")
    shown = [*(f"recall@{k}" for k in (5, 10, 20, 50)), "any@5", "all@5", "ndcg@10"]
    page.parts.append(
        table(
            ["turns, %", *shown],
            (bold(system, [name_of(system), *(share(found[system].get(m)) for m in shown)]) for system in found),
        )
    )
    if any("session any@5" in measures for measures in found.values()):
        shown = ["session any@5", "session all@5", "session recall@5", "session recall@10", "session ndcg@10"]
        page.parts.append(
            table(
                ["sessions by their best turn, %", *(each.removeprefix("session ") for each in shown)],
                (bold(system, [name_of(system), *(share(found[system].get(m)) for m in shown)]) for system in found),
            )
        )
    costs = [BUDGET, TOKENS, TOKENS_TOP, "question_ms"]
    page.parts.append(
        table(
            [
                "tokens (characters / 4), time",
                BUDGET,
                f"{TOKENS}, median",
                f"{TOKENS_TOP}, median",
                "ms a question, embedding included",
            ],
            (
                bold(system, [name_of(system), *(number(m[c].value) if c in m else "-" for c in costs)])
                for system, m in found.items()
            ),
        )
    )
    gains = {system: m["recall@10 over bm25"] for system, m in found.items() if "recall@10 over bm25" in m}
    if gains:
        said = "; ".join(
            f"{name_of(system)} {one.value:+.1f} [{one.low:+.1f}, {one.high:+.1f}]"
            for system, one in gains.items()
            if one.value is not None
        )
        page.parts.append(f"recall@10 over BM25's, question by question, in points: {said}.")
    parts: dict[str, dict[str, Record]] = {}
    for one in of:
        if one.category and one.measure == "recall@10":
            parts.setdefault(one.category, {})[one.system] = one
    if parts:
        page.parts.append(
            table(
                ["recall@10 by category, %", "questions", *(name_of(system) for system in systems)],
                (
                    [category, str(next(iter(row.values())).n), *(share(row.get(system)) for system in systems)]
                    for category, row in parts.items()
                ),
            )
        )
        values: Grid = {system: {c: row[system] for c, row in parts.items() if system in row} for system in systems}
        panel = Panel(f"{case}: recall@10 by category", "%", list(parts), values, "higher")
        page.draw(
            f"{name}-{_slug(case)}.svg",
            f"recall@10 by category on {case}",
            lambda: plots.dots([panel], systems, width=8.0),
        )


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.casefold()).strip("-")


# --------------------------------------------------------------------------- speed


def speed(page: Page, name: str, runs: Sequence[Run]) -> None:
    """A table for each case, with what a system cannot do and why."""
    records = [one for run in runs for one in run.records]
    page.parts.append(
        "Time, space, and what is left after a kill or a deletion; embedding costs nobody anything. Ratios under 2 are "
        "noise on machines that others use. `-` is what a system cannot do or what was not measured; the notes say which."
    )
    page.parts += [about(runs[0]), versions(records)]
    cases = by_case(records)
    systems = list(dict.fromkeys(one.system for one in records))
    # What one system alone was asked shows how it grows, and stands beside nobody.
    shared = {case: of for case, of in cases.items() if len({one.system for one in of}) > 1}
    grown = {case: of for case, of in cases.items() if case not in shared}
    for measure in DRAWN:
        panel = _speed_panel(measure, shared, systems)
        if sum(len(row) for row in panel.values.values()) > 1:
            drawn = [system for system in systems if panel.values.get(system)]
            page.draw(
                f"{name}-{_slug(measure)}.svg",
                f"{SPEED[measure]} of each system",
                lambda panel=panel, drawn=drawn: plots.dots([panel], drawn, width=8.0),  # type: ignore[misc]
            )
    if len(grown) > 1:
        panel = _speed_panel("search_p50", grown, [OURS])
        page.draw(
            f"{name}-alone.svg",
            "Tacita's search with more items and more people",
            lambda: plots.dots([panel], [OURS], width=8.0),
        )
    notes: dict[str, int] = {}
    for case, of in cases.items():
        page.parts.append(f"## {case}")
        found = totals(of)
        measures = list(dict.fromkeys(one.measure for one in of))
        units = {one.measure: one.unit for one in of}
        rows = []
        for system, own in found.items():
            cells = [name_of(system)]
            for measure in measures:
                one = own.get(measure)
                mark = ""
                if one is not None and one.note:
                    place = notes.setdefault(one.note, len(notes) + 1)
                    mark = f" ({place})"
                between = "" if one is None or one.low is None else f" [{number(one.low)} to {number(one.high)}]"
                cells.append(number(one.value if one else None) + between + mark)
            rows.append(bold(system, cells))
        page.parts.append(table(["", *(f"{SPEED.get(m, m)}, {units[m]}".rstrip(", ") for m in measures)], rows))
    if notes:
        page.parts.append("\n".join(f"{place}. {note}" for note, place in notes.items()))


def _speed_panel(measure: str, cases: Mapping[str, Sequence[Record]], systems: Sequence[str]) -> Panel:
    values: Grid = {system: {} for system in systems}
    rows = []
    unit = ""
    for case, of in cases.items():
        for one in of:
            if one.measure == measure and one.value is not None:
                values[one.system][case] = one
                unit = one.unit
                if case not in rows:
                    rows.append(case)
    return Panel(SPEED[measure], unit, rows, values, "lower" if measure in LOWER else "higher")


# --------------------------------------------------------------------------- sealing


def sealing(page: Page, name: str, runs: Sequence[Run]) -> None:
    """What privacy costs: the engine as it is beside the same with a cipher that does nothing; and what takes the time."""
    records = [one for run in runs for one in run.records]
    page.parts.append(
        "Tacita beside itself with a cipher that does nothing, which exists in the benchmarks alone: two processes that are "
        "asked in turn for blocks of the same work. A ratio is the median of neighbouring blocks with its quartiles. Chain, "
        "digests, keyed tags, padding and the audit log are in both."
    )
    page.parts.append(about(runs[0]))
    for case, of in by_case(records).items():
        page.parts.append(f"## {case}")
        found = totals(of)
        ours, null = found.get(OURS, {}), found.get("null", {})
        page.parts.append(
            table(
                ["", "sealed, ms", "no cipher, ms", "by the clock", "in CPU time", "aim"],
                (
                    [
                        kind,
                        number(ours[kind].value),
                        number(one.value),
                        _times(ours.get(f"{kind}_ratio")),
                        _times(ours.get(f"{kind}_ratio_cpu")),
                        ours[f"{kind}_ratio"].note if f"{kind}_ratio" in ours else "",
                    ]
                    for kind, one in null.items()
                ),
            )
        )
        for kind in ("search", "add"):
            shares = {one.category: one for one in of if one.measure == f"{kind}_share"}
            if shares:
                title = f"{case}: where the time of one {kind} goes"
                page.draw(
                    f"{name}-{_slug(case)}-{kind}.svg",
                    f"Shares of one {kind}: "
                    + ", ".join(f"{step} {number(one.value)} %" for step, one in shares.items()),
                    lambda title=title, shares=shares: plots.bars(title, shares),  # type: ignore[misc]
                )


def _times(one: Record | None) -> str:
    return "-" if one is None else f"{one.value:.3f} [{one.low:.3f} to {one.high:.3f}]"


# --------------------------------------------------------------------------- answering


def answering(page: Page, name: str, runs: Sequence[Run]) -> None:
    """Right answers by system, the judge's trial, and the prompts word for word."""
    records = [one for run in runs for one in run.records]
    page.parts.append(
        "One model answers every question from what each system found, and a judge compares the answers with the known "
        "right ones: the same prompts, the same budget of excerpts, temperature 0. Beside the systems stand two bounds: "
        "the model without any excerpts, and with the evidence alone. The judge was tried first with answers that are "
        "known to be wrong; if it had called one of them right there would be no results. Tokens are characters / 4."
    )
    if any("scripted" in one.note for one in records):
        page.parts.append(
            "**These figures prove the harness and nothing else.** The model is a script that answers right when all of "
            "the evidence is in its excerpts: they say how often a search brought everything, and not what a language "
            "model would make of it."
        )
    page.parts += [about(runs[0]), versions(records)]
    cases = by_case(records)
    for case, of in cases.items():
        found = totals(of)
        trial = found.pop("judge", {})
        page.parts.append(f"## {case}")
        if trial:
            said = "; ".join(f"{measure}: {number(one.value)} % of {one.n}" for measure, one in trial.items())
            page.parts.append(f"The judge's trial: {said}.")
        measures = list(dict.fromkeys(one.measure for one in of if one.system != "judge"))
        page.parts.append(
            table(
                ["", *(_with_unit(m, of) for m in measures)],
                (
                    bold(system, [name_of(system), *(_answer_cell(own.get(m)) for m in measures)])
                    for system, own in found.items()
                ),
            )
        )
    systems = [system for system in dict.fromkeys(one.system for one in records) if system != "judge"]
    right = [one for one in records if one.measure == "right"]
    page.draw(
        f"{name}-right.svg",
        "Share of right answers of each system on each data set",
        lambda: plots.dots([_panel("right answers", "right", by_case(right), systems)], systems, width=8.0),
    )
    page.parts.append("## Prompts")
    for each, what in (("answer", "To answer"), ("judge", "To judge")):
        page.parts.append(f"{what}, the same for every system:\n\n```text\n{prompt(each).strip()}\n```")


def _with_unit(measure: str, of: Sequence[Record]) -> str:
    unit = next(one.unit for one in of if one.measure == measure)
    return measure if not unit or unit in measure else f"{measure}, {unit}"


def _answer_cell(one: Record | None) -> str:
    if one is None:
        return "-"
    return share(one) if one.low is not None else number(one.value)


# --------------------------------------------------------------------------- pages

SUITES: Mapping[str, tuple[str, Callable[[Page, str, Sequence[Run]], None]]] = {
    "retrieval": ("Retrieval", retrieval),
    "speed": ("Speed and cost", speed),
    "sealing": ("What sealing costs", sealing),
    "answering": ("Question answering", answering),
}


TITLES = {
    "yardsticks": "Speed beside yardsticks",
    "peers": "Speed and cost beside peers",
    "turns": "Peers and Tacita in turn",
}
"""Of files whose suite has more than one."""


def page_of(path: Path) -> Page:
    """The page of one file of records. Raises Malformed for a suite that is unknown or files that mix suites."""
    runs = read(path)
    suites = {run.suite for run in runs}
    if len(suites) != 1 or not suites <= SUITES.keys():
        raise Malformed(f"{path.name}: one suite of {', '.join(SUITES)} a file, not {', '.join(sorted(suites))}")
    if len({(run.machine.get("cpu"), run.machine.get("cores")) for run in runs}) != 1:
        raise Malformed(f"{path.name}: runs of different machines do not go into one table")
    title, fill = SUITES[runs[0].suite]
    quick = path.stem.startswith("quick-")
    title = TITLES.get(path.stem.removeprefix("quick-"), title)
    page = Page(f"{title}, the quick run" if quick else title, f"results/{path.name}")
    if quick:
        page.parts.append("From `make bench-quick`: small sizes, minutes. The full run decides.")
    fill(page, path.stem, runs)
    return page


def index(pages: Mapping[str, Page]) -> str:
    """The page that lists the others."""
    listed = "\n".join(f"- [{page.title}]({stem}.md), [records](results/{stem}.jsonl)" for stem, page in pages.items())
    parts = [
        MARK.format(source="results/"),
        "# Benchmarks",
        "Everything here is measured by `benchmarks/` and written by it: records first (JSON, one a line), then pages.",
        listed,
        "`make bench-quick` takes minutes and needs no data: it measures a synthetic set and small vaults, and the "
        "development data whose paths it is given. "
        "`make bench METRICS=... LOCOMO=... BEAM=... LME_S=... FRIENDSQA=...` is the full run. "
        "Both end with `benchmarks.gate`, which compares ratios to baselines of the same run with those in "
        "[accepted.jsonl](accepted.jsonl), never times.",
        "Data sets belong to others and are not bundled: [LoCoMo](https://github.com/snap-research/locomo) (CC BY-NC 4.0), "
        "[BEAM](https://github.com/mohammadtavakoli78/BEAM) (CC BY-SA 4.0), "
        "[LongMemEval](https://github.com/xiaowu0162/LongMemEval) (MIT), "
        "[FriendsQA](https://github.com/emorynlp/FriendsQA) (Apache 2.0). The synthetic set is ours and made by "
        "`benchmarks/retrieval/synthetic.py`: it shows that everything works, not how good a search is.",
    ]
    return "\n\n".join(parts) + "\n"


def write(records: Path, into: Path) -> dict[str, Page]:
    """Write every page and plot, and remove plots that no page shows any more. Raises Malformed, FileNotFoundError."""
    files = sorted(records.glob("*.jsonl"), key=lambda path: (path.stem.startswith("quick-"), path.stem))
    if not files:
        raise FileNotFoundError(f"no records in {records}")
    pages = {path.stem: page_of(path) for path in files}
    into.mkdir(parents=True, exist_ok=True)
    for old in [*into.glob("*.svg"), *into.glob("*.md")]:
        old.unlink()
    for stem, page in pages.items():
        (into / f"{stem}.md").write_text(page.text(), encoding="utf-8")
        for name, drawing in page.drawings.items():
            (into / name).write_text(drawing, encoding="utf-8")
    (into / "README.md").write_text(index(pages), encoding="utf-8")
    return pages


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=Path, default=PAGES / "results", help="folder of files NAME.jsonl")
    parser.add_argument("--into", type=Path, default=PAGES, help="folder of generated pages: others in it are removed")
    given = parser.parse_args(arguments)
    for stem, page in write(given.records, given.into).items():
        print(f"{given.into.name}/{stem}.md, {len(page.drawings)} plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
