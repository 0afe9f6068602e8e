"""Hold `src/` to the rules of `.semgrep/`, and the rules to their examples. Reaches no network.

    python scripts/rules.py SEMGREP

Three ways to fail: a finding in the source; a rule that does not find exactly what the examples mark, or that has no
example either way; an allowed path under which the rule would find nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / ".semgrep/tacita.yaml"
EXAMPLES = ROOT / ".semgrep/examples.py"


class Finding(NamedTuple):
    """Where a rule found something: path from the root of the project."""

    path: str
    line: int
    rule: str


def scan(semgrep: str, rules: Path, targets: list[Path], home: Path) -> set[Finding]:
    """What semgrep finds. Ends the program unless every file was read and every rule was understood."""
    # Its settings and its log go where they are thrown away; it asks nobody for a newer version and reports to nobody.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8"}
    command = [semgrep, "scan", "--json", "--quiet", "--metrics=off", "--disable-version-check"]
    command += ["--no-git-ignore", "--max-target-bytes=0", "--timeout=0", "--disable-nosem", "--config", str(rules)]
    command += [str(target.relative_to(ROOT)) for target in targets]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    answer: dict[str, Any] = json.loads(ran.stdout or "{}")
    if ran.returncode != 0:
        sys.exit(f"semgrep failed ({ran.returncode}): {answer.get('errors')}\n{ran.stderr}")
    wanted = {path for target in targets for path in ([target] if target.is_file() else target.rglob("*.py"))}
    missed = {str(path.relative_to(ROOT)) for path in wanted} - set(answer["paths"]["scanned"])
    if missed or answer["errors"] or answer["skipped_rules"]:
        sys.exit(f"semgrep left out {sorted(missed)}, {answer['errors']}, {answer['skipped_rules']}")
    return {
        Finding(each["path"], each["start"]["line"], each["check_id"].rpartition(".")[2]) for each in answer["results"]
    }


def marks(text: str, word: str) -> set[tuple[int, str]]:
    """(line, rule) of every `# word: rule, rule`, which speaks of the next line that is code."""
    found, waiting = set(), set[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*# (ruleid|ok): ", line):
            if mark := re.match(rf"\s*# {word}: ([\w, -]+)$", line):
                waiting |= set(mark[1].split(", "))
            continue
        found |= {(number, rule) for rule in waiting}
        waiting = set()
    return found


def against_examples(rules: set[str], found: set[tuple[int, str]], text: str) -> list[str]:
    """What is wrong with the rules, going by the examples."""
    bad, good = marks(text, "ruleid"), marks(text, "ok")
    wrong = [f"examples.py:{line} {rule} does not find this" for line, rule in sorted(bad - found)]
    wrong += [f"examples.py:{line} {rule} finds this and should not" for line, rule in sorted(found - bad)]
    wrong += [
        f"{rule} has no example of what it {what}"
        for rule in sorted(rules)
        for what, shown in (("finds", bad), ("lets through", good))
        if rule not in {name for _, name in shown}
    ]
    return [*wrong, *(f"{name} is in the examples and is no rule" for name in {n for _, n in bad | good} - rules)]


def listed(rule: dict[str, Any], what: str) -> list[str]:
    """The paths that a rule includes or excludes. Only what `under` understands as semgrep does may be there."""
    paths: list[str] = rule.get("paths", {}).get(what, [])
    if bad := [path for path in paths if not re.fullmatch(r"/src/[\w/]*(/|\w\.py)", path)]:
        sys.exit(f"{rule['id']}: {bad} are neither files nor folders of src/")
    return paths


def under(path: str, places: list[str]) -> bool:
    """Whether a file is one of the places or in one of them."""
    return any("/" + path == place or (place.endswith("/") and ("/" + path).startswith(place)) for place in places)


def against_source(rule: dict[str, Any], found: list[Finding]) -> list[str]:
    """Findings where a rule holds, and places where it need not be off."""
    here, off = listed(rule, "include") or ["/src/"], listed(rule, "exclude")
    wrong = [f"{f.path}:{f.line} {f.rule}" for f in found if under(f.path, here) and not under(f.path, off)]
    return wrong + [
        f"{place} need not be listed in {rule['id']}" for place in off if not any(under(f.path, [place]) for f in found)
    ]


def main() -> None:
    semgrep = str(Path(sys.argv[1]).absolute())
    rules: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["rules"]
    with tempfile.TemporaryDirectory() as folder:
        # Everywhere, for what is allowed has to be found too.
        everywhere = Path(folder) / RULES.name
        plain = [{key: value for key, value in rule.items() if key != "paths"} for rule in rules]
        everywhere.write_text(yaml.safe_dump({"rules": plain}), encoding="utf-8")
        every = sorted(scan(semgrep, everywhere, [ROOT / "src", EXAMPLES], Path(folder)))
    shown = {(each.line, each.rule) for each in every if each.path == str(EXAMPLES.relative_to(ROOT))}
    problems = against_examples({rule["id"] for rule in rules}, shown, EXAMPLES.read_text(encoding="utf-8"))
    for rule in rules:
        wrong = against_source(
            rule, [each for each in every if each.rule == rule["id"] and each.path.startswith("src/")]
        )
        problems += [*wrong, f"{rule['id']}: {rule['message']}"] if wrong else []
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(rules)} rules hold, each shown to find and to let through, and no path is allowed in vain")


if __name__ == "__main__":
    main()
