"""What the guard finds and what it takes for something else, on data that you name.

    python benchmarks/guard.py [--secrets CASES.jsonl] [--pii SPANS.json] [--turns TEXTS.jsonl ...] [--injection FOLDER]

Secrets: lines `{"text", "label"}`; found is a line with label 1 in which any secret is found, flagged one with label 0.
PII: `[{"full_text", "spans": [{"entity_type", "start_position", "end_position"}]}]`; a span counts as found when a finding
of the same type overlaps it. Types are mapped by `TYPES`; others are not counted. Injection: `positives.jsonl` and
`negatives.jsonl` with a `text` each. Without data it still measures texts made to be slow.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from tacita.privacy.detect import scan
from tacita.privacy.injection import signs, suspicious

TYPES = {
    "email": "EMAIL_ADDRESS",
    "payment-card": "CREDIT_CARD",
    "iban": "IBAN_CODE",
    "us-ssn": "US_SSN",
    "ip-address": "IP_ADDRESS",
    "phone": "PHONE_NUMBER",
}


def secrets(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    flagged = [any(one.kind == "secret" for one in scan(row["text"])) for row in rows]
    for label, what, target in ((1, "found", ">= 97 %"), (0, "flagged", "<= 3 %")):
        of = [flag for flag, row in zip(flagged, rows, strict=True) if row["label"] == label]
        print(f"secrets {what:8s} {100 * sum(of) / len(of):6.2f} % of {len(of)} lines with label {label}  ({target})")


def pii(path: Path) -> None:
    found = missed = wrong = 0
    for row in json.loads(path.read_text()):
        spans = [one for one in row["spans"] if one["entity_type"] in TYPES.values()]
        hits = [one for one in scan(row["full_text"]) if one.type in TYPES]
        pairs = {
            (at, number)
            for at, hit in enumerate(hits)
            for number, span in enumerate(spans)
            if TYPES[hit.type] == span["entity_type"]
            and hit.start < span["end_position"]
            and span["start_position"] < hit.end
        }
        found += len({number for _, number in pairs})
        missed += len(spans) - len({number for _, number in pairs})
        wrong += len(hits) - len({at for at, _ in pairs})
    print(f"pii recall    {found / (found + missed):6.3f} of {found + missed} spans  (>= 0.98)")
    print(f"pii precision {found / (found + wrong):6.3f}  (>= 0.95)")


def turns(paths: list[Path]) -> None:
    texts = [text for path in paths for text in _texts(path)]
    flagged = sum(any(one.kind == "secret" for one in scan(text)) for text in texts)
    print(f"ordinary turns flagged {100 * flagged / len(texts):.3f} % of {len(texts)}  (<= 0.1 %)")
    start = time.perf_counter()
    for text in texts:
        scan(text)
    each = 1000 * (time.perf_counter() - start) / len(texts)
    print(f"{each:.4f} ms a turn of {sum(map(len, texts)) / len(texts):.0f} characters on average  (<= 0.3 ms)")


def injection(folder: Path) -> None:
    for file, what in (("positives.jsonl", "marked"), ("negatives.jsonl", "marked though benign")):
        texts = [json.loads(line)["text"] for line in (folder / file).read_text().splitlines()]
        for trusted, whose in ((False, "a tool's"), (True, "the user's own")):
            share = sum(suspicious(signs(text), trusted=trusted) for text in texts) / len(texts)
            print(f"instructions {what}, as {whose} words: {100 * share:.2f} % of {len(texts)}")


HOSTILE = {
    "digits": "1234567890 ",
    "almost cards": "4111 1111 1111 1112 ",
    "almost mail": "a@b.",
    "one long word": "aA1",
    "passwords": "password: x1Y2z3W4v5 ",
    "equals": "a=b;",
    "colons": "12:34:56:78:9a:bc:",
    "dots": "1.2.3.4.5.",
    "hyphens": "0-1-2-3-",
    "urls": "https://a:b@c.de/x?key=y ",
    "base64": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo",
    "keys": "AKIA",
    "tokens": "token=ghp_ sk- xoxb- eyJ. ",
    "dates": "01/02/1990 born ",
}
DIFFERENT = {
    "new passwords": "password=q{0:05x}Zr{0:x} ",
    "new tokens": "api_token: '{0:08x}{0:08x}k{0:05d}' ",
    "new mail": "u{0}@x{0}.de ",
    "new phones": "+49 30 {0:07d} ",
    "new addresses": "10.{0}.7.9 ",
    "new words": "wörter{0} über ",
}
"""The same, but no two alike, so that nothing remembered helps."""


def hostile() -> None:
    """The slowest of texts that are made of one piece, 64 KB each."""
    slowest = ("", 0.0)
    texts = {name: (piece * (65_536 // len(piece) + 1))[:65_536] for name, piece in HOSTILE.items()}
    texts |= {
        name: "".join(piece.format(number % 251 if "addr" in name else number) for number in range(16_000))[:65_536]
        for name, piece in DIFFERENT.items()
    }
    for name, text in texts.items():
        took = []
        for _ in range(3):
            start = time.perf_counter()
            scan(text)
            signs(text)
            took.append(1000 * (time.perf_counter() - start))
        slowest = max(slowest, (name, min(took)), key=lambda each: each[1])
        print(f"64 KB of {name:14s} {min(took):8.1f} ms")
    print(f"slowest: {slowest[0]}, {slowest[1]:.1f} ms  (<= 20 ms)")


def _texts(path: Path) -> Iterator[str]:
    """Every string under `text` or `content` in a JSON or JSONL file."""
    raw = path.read_text()
    try:
        todo = [json.loads(raw)]
    except ValueError:
        todo = [json.loads(line) for line in raw.splitlines() if line.strip()]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
            yield from (value[key] for key in ("text", "content") if isinstance(value.get(key), str))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--secrets", type=Path)
    parser.add_argument("--pii", type=Path)
    parser.add_argument("--turns", type=Path, nargs="*", default=[])
    parser.add_argument("--injection", type=Path)
    given = parser.parse_args()
    if given.secrets:
        secrets(given.secrets)
    if given.pii:
        pii(given.pii)
    if given.turns:
        turns(given.turns)
    if given.injection:
        injection(given.injection)
    hostile()


if __name__ == "__main__":
    main()
