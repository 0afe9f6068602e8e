from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tacita.patterns import lazy_pattern


def test_a_pattern_is_compiled_when_it_is_used_and_then_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = re.compile

    def compile_(text: str, flags: int = 0) -> re.Pattern[str]:
        compiled.append(text)
        return real(text, flags)

    monkeypatch.setattr(re, "compile", compile_)
    word = lazy_pattern(r"(?P<first>k)\w+", re.IGNORECASE)
    assert compiled == []
    assert [found["first"] for found in word.finditer("Kiln and key")] == ["K", "k"]
    assert word.sub("-", "Kiln and key") == "- and -"
    assert word.sub("-", "key") == "-"
    assert word.pattern == r"(?P<first>k)\w+"
    assert compiled == [r"(?P<first>k)\w+"] * 3, "once for each of its methods, and no more"
    wrong = lazy_pattern("(")
    with pytest.raises(re.error):
        wrong.search("")


def test_importing_the_library_compiles_no_pattern_of_ours_nor_loads_what_only_plug_ins_need() -> None:
    code = """
import re, sys
made = []
real = re.compile
def compile_(text, flags=0):
    module = sys._getframe(1).f_globals["__name__"]
    if isinstance(text, str) and module.startswith("tacita") and module != "tacita.patterns":
        made.append(module)
    return real(text, flags)
re.compile = compile_
import tacita.memory
print(sorted(set(made)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    code = "import sys, tacita.memory; print([name for name in ('importlib.metadata', 'email.message') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
