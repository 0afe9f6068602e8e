"""How systems are called and drawn: the same name, colour and mark in every table and plot."""

from __future__ import annotations

from dataclasses import dataclass

NAMES = {
    "tacita": "Tacita",
    "bm25": "BM25",
    "minilm": "MiniLM",
    "rrf60": "RRF, 60",
    "rrf5": "RRF, 5",
    "numpy": "numpy scan",
    "sqlite": "SQLite rows",
    "null": "no cipher",
    "nothing": "no excerpts",
    "evidence": "evidence alone",
}
"""Systems that need another name in print than in records."""
COLOURS = (
    *("#1f83c7", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"),
    *("#8c8c8c", "#b8a200", "#7b5ea7", "#4d9a8f", "#a65e2e", "#c2577a"),
)
"""Okabe and Ito (2008), told apart with every kind of colour vision, in an order of our own, their blue a
little lighter for dark pages; then six that extend it."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p", "d")
"""Colour is never the only difference."""


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours of everything that is not data."""

    paper: str
    text: str
    grid: str


LIGHT = Ink("#fefefe", "#1f2328", "#d6dbe0")
DARK = Ink("#14181d", "#e6e9ec", "#3a424b")


def name_of(system: str) -> str:
    """As people read it."""
    return NAMES.get(system, system)


def look(system: str, systems: list[str]) -> tuple[str, str]:
    """(colour, mark) of one of `systems`; Tacita's is the same everywhere."""
    others = [each for each in systems if each != "tacita"]
    place = 0 if system == "tacita" else 1 + others.index(system) % (len(COLOURS) - 1)
    return COLOURS[place], MARKS[place]
