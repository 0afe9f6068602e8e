"""Runs the tests behind each claim and writes docs/scorecard.md and docs/scorecard.svg from what they say.

    python scripts/scorecard.py [--only WORD | --report JUNIT.XML]

With `--report` they are not run again: the file is what `make test REPORT=FILE` wrote.
Nothing in either file is written by hand: a claim whose tests fail is shown as failed, and the exit code is 1.
"""

# ruff: noqa: E501  sentences and drawing

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree  # nosec B405
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUITE = "agent-memory-integrity 0.6.3"
PUBLISHED = (
    # As the suite's own README gives them, nine edits in order; "-" is not measured there.
    ("LangGraph SqliteSaver 3.1.1", "accepted " * 9),
    ("LangGraph PostgresSaver 3.1.2", "accepted " * 9),
    ("LangGraph RedisSaver 0.5.2", "accepted " * 9),
    ("OpenAI Agents SDK SQLiteSession 0.20.0", "accepted " * 9),
    ("Letta core memory history 0.16.8", "accepted " * 8 + "-"),
    ("Mem0, local Qdrant 2.0.20", "accepted " * 5 + "error accepted accepted -"),
    ("acrf-memory-guard 0.1.0", "rejected accepted accepted accepted rejected accepted accepted rejected -"),
    ("MythologIQ Agent Memory 0.2.0", "rejected " * 8 + "accepted"),
)
EDITS = (
    *("tamper", "truncate", "delete_middle", "reorder", "forge", "cross_replay", "rollback_replay"),
    *("metadata_tamper", "snapshot_rollback"),
)


@dataclass(frozen=True)
class Claim:
    """A sentence, and the tests without which it is nothing."""

    group: str
    says: str
    tests: tuple[str, ...]
    case: str = ""
    """Of a test with parameters, only those runs whose name holds this word."""


CLAIMS = (
    Claim(
        "Survival",
        "kill -9 of writers loses no acknowledged add",
        ("tests/crash/test_writer_kill.py::test_kill_9_three_hundred_times",),
    ),
    Claim(
        "Survival",
        "kill -9 while deleting: what was said to be gone stays gone",
        ("tests/survival/test_forget_kill.py::test_kill_9_while_forgetting[delete]",),
    ),
    Claim(
        "Survival",
        "kill -9 while erasing: an erased subject stays erased",
        ("tests/survival/test_forget_kill.py::test_kill_9_while_forgetting[erase]",),
    ),
    Claim(
        "Survival",
        "kill -9 while purging an origin",
        ("tests/survival/test_forget_kill.py::test_kill_9_while_forgetting[purge]",),
    ),
    Claim(
        "Survival",
        "kill -9 while snapshots are written and dropped",
        ("tests/survival/test_forget_kill.py::test_kill_9_while_forgetting[snapshot]",),
    ),
    Claim(
        "Survival",
        "kill -9 while a backup is made",
        ("tests/survival/test_backup_kill.py::test_kill_9_while_a_copy_is_made",),
    ),
    Claim(
        "Survival",
        "kill -9 while a backup is put back",
        ("tests/survival/test_backup_kill.py::test_kill_9_while_a_copy_is_put_back",),
    ),
    Claim(
        "Survival",
        "kill -9 while the root key is rotated",
        ("tests/unit/keys/test_rotation.py::test_kill_9_while_rotating",),
    ),
    Claim(
        "Survival",
        "kill -9 while a backup is brought up to date",
        ("tests/survival/test_backup_kill.py::test_kill_9_while_a_copy_is_brought_up_to_date",),
    ),
    Claim(
        "Survival",
        "kill -9 while every log is sealed anew under another key",
        ("tests/unit/keys/test_rotate_deep.py::test_kill_9_while_sealing_anew",),
    ),
    Claim(
        "Survival",
        "power failure at any moment: acknowledged data stays, removed data stays gone, no false alarm",
        ("tests/survival/test_power_failure.py",),
    ),
    Claim(
        "Survival",
        "kill -9 while a memory moves to another store",
        ("tests/survival/test_migrate_kill.py::test_kill_9_while_moving",),
    ),
    Claim(
        "Survival",
        "many workers on one PostgreSQL, killed with it; a primary that dies behind a synchronous standby",
        ("tests/postgres/test_workers.py",),
    ),
    Claim(
        "Survival",
        "a store or ring that fails before any one call",
        ("tests/survival/test_faults.py::test_every_call_site_may_fail[before]",),
    ),
    Claim(
        "Survival",
        "a store or ring that fails after any one call took effect",
        ("tests/survival/test_faults.py::test_every_call_site_may_fail[after]",),
    ),
    Claim(
        "Survival",
        "a full disk, a locked file",
        (
            "tests/survival/test_faults.py::test_a_full_disk_is_an_error_that_says_so_and_everything_before_it_stays",
            "tests/survival/test_faults.py::test_a_locked_store_says_that_trying_again_helps",
        ),
    ),
    Claim(
        "Survival",
        "restore drills: erased stays erased, nothing goes back in time unasked",
        ("tests/unit/test_backup.py",),
    ),
    Claim(
        "Servers",
        "PostgreSQL: a connection cut at any request; nothing lost, done twice or guessed",
        (
            "tests/postgres/test_lost_answers.py::test_a_write_to_the_log",
            "tests/postgres/test_lost_answers.py::test_a_write_to_the_ring",
            "tests/postgres/test_lost_answers.py::test_what_cannot_be_known_is_not_called_lost",
        ),
    ),
    Claim(
        "Servers",
        "PostgreSQL: connections, backends and the server killed under load",
        (
            "tests/postgres/test_crash.py::test_backends_that_are_terminated_at_any_moment",
            "tests/postgres/test_crash.py::test_a_backend_that_is_killed_takes_the_server_through_recovery",
            "tests/postgres/test_crash.py::test_a_server_that_is_killed_and_started_again",
        ),
    ),
    *(
        Claim(
            "Servers",
            f"{name}: cut short at any request, readers see the old or the new; a lost answer is found out",
            ("tests/kv/test_faults.py", "tests/kv/test_ring_faults.py"),
            case=case,
        )
        for name, case in (("DynamoDB (its protocol, by moto)", "dynamodb"), ("Redis", "redis"))
    ),
    Claim(
        "Servers",
        "Redis: kill -9 of the server under load loses nothing acknowledged",
        ("tests/kv/test_redis.py::test_nothing_acknowledged_is_lost_when_the_server_is_killed",),
    ),
    Claim(
        "Keys",
        "key services that fail at random under adds, searches and rotations",
        ("tests/survival/test_key_services.py::test_random_faults",),
    ),
    Claim(
        "Keys",
        "a tenant's revoked root key: only that tenant loses access, within the cache time",
        ("tests/unit/keys/test_tenant_keys.py::test_only_that_tenant_under_threads",),
    ),
    Claim("Integrity", "forged or mutated ciphertext accepted", ("tests/survival/test_forgery.py",)),
    Claim(
        "Integrity",
        "published vectors (Wycheproof) of AES-GCM, HKDF, HMAC, Ed25519",
        ("tests/survival/test_primitives.py",),
    ),
    Claim(
        "Integrity",
        "fuzzing of every parser of stored or foreign bytes: typed errors, no content in them, no hang",
        ("tests/fuzz/test_fuzz.py::test_no_input_breaks_a_promise",),
    ),
    Claim("Integrity", "files edited behind the store's back are refused", ("tests/attacks/test_tampering.py",)),
    Claim(
        "Integrity",
        "what is damaged is named, salvaged, and given up only by the operator",
        ("tests/attacks/test_salvage.py",),
    ),
    Claim(
        "Integrity",
        "data and key ring put back together are noticed by whoever remembers elsewhere",
        ("tests/attacks/test_whole_rollback.py",),
    ),
    Claim(
        "Isolation",
        "cross-tenant operations: 50 tenants, 32 threads, look-alike ids",
        ("tests/survival/test_tenants.py",),
    ),
    Claim(
        "Isolation",
        "foreign ids, filters, wildcards, bound views",
        (
            "tests/attacks/test_foreign_ids.py",
            "tests/attacks/test_filter_scope.py",
            "tests/attacks/test_wildcard_ids.py",
            "tests/attacks/test_bound_views.py",
        ),
    ),
    Claim("Leakage", "planted words in files, names, write-ahead log", ("tests/attacks/test_at_rest.py",)),
    Claim(
        "Leakage",
        "planted words in logs, reprs, tracebacks, pickles at DEBUG",
        ("tests/attacks/test_logs_and_reprs.py",),
    ),
    Claim(
        "Leakage",
        "deleted words in files",
        ("tests/attacks/test_deleted_is_gone.py", "tests/attacks/test_expiry_erases.py"),
    ),
    Claim("Leakage", "core files of a crash", ("tests/attacks/test_core_files.py",)),
    Claim("Leakage", "what a model provider gets to see", ("tests/attacks/test_disclosure.py",)),
    Claim("Leakage", "telemetry: 0 bytes when off, the previewed bytes when on", ("tests/attacks/test_telemetry.py",)),
    Claim("Forgetting", "receipts, holds, freezes, retention, sweeps, audit trail", ("tests/unit/test_forgetting.py",)),
    Claim(
        "Forgetting",
        "requests in words, third persons, redaction in place",
        ("tests/unit/test_mentions.py", "tests/unit/privacy/test_surface.py"),
    ),
    Claim(
        "Trust",
        "no label ever rises; untrusted text never supersedes, profiles or instructs",
        (
            "tests/attacks/test_quarantine.py",
            "tests/attacks/test_context_injection.py",
            "tests/attacks/test_forged_metadata.py",
        ),
    ),
)
INTEGRITY = "tests/integrity/test_public_suite.py"


@dataclass
class Outcome:
    """What became of the tests of one file or one test."""

    passed: int = 0
    failed: int = 0
    figures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.passed > 0 and self.failed == 0

    @property
    def figure(self) -> str:
        return "; ".join(self.figures) if self.figures else f"{self.passed} tests"


Case = tuple[str, str, bool, dict[str, str]]
"""(file, test, whether it passed, what it recorded)."""


def run(tests: list[str]) -> list[Case]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--show-capture=no", "-o", "junit_family=xunit1"]
        subprocess.run([*command, f"--junitxml={report}", *tests], cwd=ROOT, check=False)
        return read(report)


def read(report: Path) -> list[Case]:
    """What a report in pytest's `xunit1` says of each test."""
    cases = []
    # Written by pytest, of tests of ours.
    for case in ElementTree.parse(report).getroot().iter("testcase"):  # nosec B314  # noqa: S314
        passed = not any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        recorded = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
        cases.append((case.get("file", ""), case.get("name", ""), passed, recorded))
    return cases


def outcome(claim: Claim, cases: list[Case]) -> Outcome:
    found = Outcome()
    for file, name, passed, recorded in cases:
        for test in claim.tests:
            path, _, wanted = test.partition("::")
            if file == path and claim.case in name and wanted in ("", name, name.partition("[")[0]):
                found.passed += passed
                found.failed += not passed
                found.figures += [recorded["figure"]] if "figure" in recorded else []
    return found


def edits(cases: list[Case]) -> list[str]:
    cells = {
        name.partition("[")[2][:-1]: recorded.get("cell", "error")
        for file, name, _, recorded in cases
        if file == INTEGRITY and "at_rest" in name
    }
    return [cells.get(edit, "error") for edit in EDITS]  # fmt: skip


def attacks(cases: list[Case]) -> list[tuple[str, str, bool]]:
    return [
        (name.partition("[")[2][:-1], recorded.get("cell", "error"), passed)
        for file, name, passed, recorded in cases
        if file == INTEGRITY and "api" in name
    ]


def markdown(rows: list[tuple[Claim, Outcome]], cases: list[Case], date: str) -> str:
    lines = [
        "# Score card",
        "",
        f"Written by `make scorecard` on {date}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores. Each row is a claim, the tests behind it, and what they counted in that run.",
        "",
        "![Score card](scorecard.svg)",
        "",
        "| | claim | result | figure | tests |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {claim.group} | {claim.says} | {'holds' if found.ok else '**FAILED**'} | {found.figure} | "
        f"{', '.join(f'`{test}`' for test in claim.tests)} |"
        for claim, found in rows
    ]
    heads = [f"T{number}" for number in range(1, 10)]
    lines += [
        "",
        f"## Nine edits at rest (`{SUITE}`)",
        "",
        "T1 content, T2 tail, T3 middle, T4 order, T5 forged, T6 other context, T7 older record, T8 metadata, T9 older copy of everything. "
        "Rejected: refused when memory is read. Tacita's row is this run, with the adapter `tests/integrity/suite_adapter.py`; the "
        "attacker holds the data folder, not the key ring. The other rows are as the suite publishes them in its README and were not run here.",
        "",
        f"| | {' | '.join(heads)} |",
        f"|---|{'---|' * 9}",
        f"| **Tacita, SQLite** | {' | '.join(edits(cases))} |",
    ]
    lines += [f"| {name} | {' | '.join(cells.split())} |" for name, cells in PUBLISHED]
    lines += [
        "",
        f"## Six attacks through the API (`{SUITE}`)",
        "",
        "How many of five scenarios the attacker won, by channel. On `external` and `laundered` the attacker does not hold the user's key, "
        "and the adapter, as a host does, adds what comes without it as a tool's words; the agent reads with a filter on trust. On "
        "`agent-laundered` the attack is signed with the user's key, and no store can tell it from a genuine fact.",
        "",
        "| attack, embedder | attacker won | without the user's key |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {cell} | {'kept out' if passed else '**SURFACED**'} |" for name, cell, passed in attacks(cases)
    ]
    return "\n".join(lines) + "\n"


def svg(rows: list[tuple[Claim, Outcome]], cells: list[str], date: str) -> str:
    height, left, width = 24, 24, 1060
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * (len(rows) + 6) + 60}" font-family="system-ui, sans-serif">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{left}" y="34" font-size="19" font-weight="600" fill="#111827">Tacita score card</text>',
        f'<text x="{width - left}" y="34" font-size="12" fill="#6b7280" text-anchor="end">{escape(date)}</text>',
    ]
    top, group = 60, ""
    for claim, found in rows:
        colour = "#15803d" if found.ok else "#b91c1c"
        if claim.group != group:
            group = claim.group
            parts.append(f'<line x1="{left}" x2="{width - left}" y1="{top - 5}" y2="{top - 5}" stroke="#e5e7eb"/>')
            parts.append(
                f'<text x="{left}" y="{top + 12}" font-size="12" font-weight="600" fill="#374151">{group}</text>'
            )
        parts.append(f'<circle cx="{left + 100}" cy="{top + 8}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{left + 114}" y="{top + 12}" font-size="12" fill="#111827">{escape(claim.says)}</text>')
        parts.append(
            f'<text x="{width - left}" y="{top + 12}" font-size="12" fill="{colour}" text-anchor="end">{escape(_short(found.figure))}</text>'
        )
        top += height
    top += 20
    parts.append(
        f'<text x="{left}" y="{top}" font-size="12" font-weight="600" fill="#374151">Nine edits at rest ({SUITE})</text>'
    )
    for number, cell in enumerate(cells):
        x = left + number * 112
        colour = "#15803d" if cell == "rejected" else "#b91c1c"
        parts.append(f'<rect x="{x}" y="{top + 12}" width="104" height="34" rx="5" fill="{colour}"/>')
        parts.append(
            f'<text x="{x + 52}" y="{top + 27}" font-size="11" fill="#ffffff" text-anchor="middle">T{number + 1}</text>'
        )
        parts.append(
            f'<text x="{x + 52}" y="{top + 41}" font-size="11" fill="#ffffff" text-anchor="middle">{cell}</text>'
        )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _short(figure: str, most: int = 62) -> str:
    return figure if len(figure) <= most else figure[: most - 1].rsplit(" ", 1)[0] + " \u2026"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", help="run the claims whose group or words hold this; writes nothing")
    parser.add_argument("--report", type=Path, help="what `make test REPORT=FILE` wrote, instead of running the tests")
    given = parser.parse_args()
    claims = [claim for claim in CLAIMS if not given.only or given.only in f"{claim.group} {claim.says}"]
    tests = [*dict.fromkeys(test for claim in claims for test in claim.tests), *([] if given.only else [INTEGRITY])]
    cases = read(given.report) if given.report else run(tests)
    rows = [(claim, outcome(claim, cases)) for claim in claims]
    for claim, found in rows:
        print(f"{'ok  ' if found.ok else 'FAIL'} {claim.says}: {found.figure}")
    if given.only:
        sys.exit(not all(found.ok for _, found in rows))
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    (ROOT / "docs" / "scorecard.md").write_text(markdown(rows, cases, date))
    (ROOT / "docs" / "scorecard.svg").write_text(svg(rows, edits(cases), date))
    whole = all(found.ok for _, found in rows) and all(passed for file, _, passed, _ in cases if file == INTEGRITY)
    sys.exit(not whole)


if __name__ == "__main__":
    main()
