"""Whatever a model answers gives facts or a count, never an exception."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacita.limits import FACTS
from tacita.pipeline.reply import number, read

FACT = '{"text": "Ana lives in Porto.", "source": "m1", "quote": "in Porto"}'
WHOLE = '{"facts": [' + FACT + "]}"

# (answer, how many facts, problems that must be counted)
ANSWERS: dict[str, tuple[str, int, set[str]]] = {
    "plain": (WHOLE, 1, set()),
    "white space": (f"\n\n   {WHOLE}  \n", 1, set()),
    "byte order mark": ("\ufeff" + WHOLE, 1, set()),
    "fenced": (f"```json\n{WHOLE}\n```", 1, set()),
    "fenced without a language": (f"```\n{WHOLE}\n```", 1, set()),
    "fence not closed": (f"```json\n{WHOLE}", 1, set()),
    "chatty before": (f"Sure, here are the facts:\n{WHOLE}", 1, set()),
    "chatty after": (f"{WHOLE}\nLet me know if you need more!", 1, set()),
    "chatty with braces": ("I use {braces} and [lists] first. " + WHOLE, 1, set()),
    "thinking": (f"<think>The user says {{weird}} things</think>{WHOLE}", 1, set()),
    "thinking with json": ('<think>{"facts": [{"text": "wrong"}]}</think>' + WHOLE, 1, set()),
    "thinking not closed": ("<think>I wonder " + WHOLE, 0, {"no_json"}),
    "reasoning": (f"<reasoning>hm</reasoning>\n{WHOLE}", 1, set()),
    "bare list": (f"[{FACT}]", 1, set()),
    "bare fact": (FACT, 1, set()),
    "list of strings": ('["Ana lives in Porto."]', 1, set()),
    "memories": ('{"memories": [' + FACT + "]}", 1, set()),
    "one object for the list": ('{"facts": ' + FACT + "}", 1, set()),
    "fact instead of text": ('{"facts": [{"fact": "x"}]}', 1, set()),
    "empty list": ('{"facts": []}', 0, set()),
    "empty bare list": ("[]", 0, set()),
    "two objects": (WHOLE + "\n" + WHOLE, 1, set()),
    "nothing": ("", 0, {"no_json"}),
    "only spaces": ("   \n", 0, {"no_json"}),
    "prose": ("There is nothing worth remembering.", 0, {"no_json"}),
    "refusal": ("I'm sorry, but I can't help with that.", 0, {"no_json"}),
    "other language": ("No hay nada que recordar.", 0, {"no_json"}),
    "chinese": ("\u6ca1\u6709\u503c\u5f97\u8bb0\u4f4f\u7684\u4e8b\u5b9e\u3002", 0, {"no_json"}),
    "chinese fact": ('{"facts": [{"text": "\u5b89\u5a1c\u4f4f\u5728\u6ce2\u5c14\u56fe\u3002"}]}', 1, set()),
    "cut in the second": ('{"facts": [' + FACT + ', {"text": "Rui li', 1, {"truncated"}),
    "cut before the end": ('{"facts": [' + FACT, 1, {"truncated"}),
    "cut in the first": ('{"facts": [{"text": "Ana li', 0, {"wrong_shape"}),
    "cut after the key": ('{"facts":', 0, {"wrong_shape"}),
    "single quotes": ("{'facts': [{'text': 'x'}]}", 0, {"wrong_shape"}),
    "trailing comma": ('{"facts": [' + FACT + ",]}", 1, {"truncated"}),
    "comment": ('{"facts": [' + FACT + "] // done\n}", 1, {"truncated"}),
    "NaN": ('{"facts": [{"text": "x", "confidence": NaN}, ' + FACT + "]}", 1, {"truncated"}),
    "Infinity": ('{"facts": [{"text": "x", "confidence": Infinity}]}', 0, {"wrong_shape"}),
    "raw newline in a string": ('{"facts": [{"text": "Ana\nlives in Porto."}]}', 1, set()),
    "control characters": ('{"facts": [{"text": "a\\u0000b"}]}', 1, set()),
    "lone surrogate": ('{"facts": [{"text": "\\ud83d"}]}', 1, set()),
    "duplicate keys": ('{"facts": [{"text": "first", "text": "second"}]}', 1, set()),
    "duplicate lists": ('{"facts": [' + FACT + '], "facts": []}', 1, set()),
    "facts is a string": ('{"facts": "none"}', 0, {"wrong_shape"}),
    "facts is null": ('{"facts": null}', 0, {"wrong_shape"}),
    "facts is a number": ('{"facts": 3}', 0, {"wrong_shape"}),
    "another object": ('{"status": "ok"}', 0, {"wrong_shape"}),
    "tool call": ('{"name": "save", "arguments": {"x": 1}}', 0, {"wrong_shape"}),
    "nested answer": ('{"answer": {"facts": [' + FACT + "]}}", 1, {"truncated"}),
    "list of numbers": ('{"facts": [1, 2, 3]}', 0, {"not_an_object"}),
    "list of lists": ('{"facts": [[' + FACT + "]]}", 0, {"not_an_object"}),
    "mixed list": ('{"facts": [1, ' + FACT + ", null]}", 1, {"not_an_object"}),
    "empty strings": ('{"facts": ["", "  "]}', 0, {"not_an_object"}),
    "a number": ("42", 0, {"no_json"}),
    "a string": ('"facts"', 0, {"no_json"}),
    "true": ("true", 0, {"no_json"}),
    "html": ("<html><body>502 Bad Gateway</body></html>", 0, {"no_json"}),
    "yaml": ("facts:\n  - text: Ana lives in Porto.", 0, {"no_json"}),
    "xml": ("<facts><fact>Ana</fact></facts>", 0, {"no_json"}),
    "markdown list": ("- Ana lives in Porto.\n- Rui is 40.", 0, {"no_json"}),
    "deep lists": ("[" * 100_000, 0, {"wrong_shape"}),
    "deep objects": ('{"facts":' * 50_000, 0, {"wrong_shape"}),
    "deep but closed": ('{"facts": [' + "[" * 500 + "]" * 500 + "]}", 0, {"wrong_shape"}),
    "too many": ('{"facts": [' + ", ".join([FACT] * 500) + "]}", FACTS, {"too_many"}),
    "huge text": ('{"facts": [{"text": "' + "a" * 900_000 + '"}]}', 1, set()),
    "huge noise": ("lorem ipsum " * 80_000, 0, {"no_json"}),
    "many braces": ("{" * 200_000, 0, {"wrong_shape"}),
    "long number": ('{"facts": [{"text": "x", "confidence": ' + "9" * 4000 + "}]}", 1, set()),
    "longer number than Python reads": ('{"facts": [{"text": "x", "confidence": ' + "9" * 9000 + "}]}", 0, {"wrong_shape"}),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "facts", "problems"), ANSWERS.values(), ids=ANSWERS)
def test_odd_answers(answer: str, facts: int, problems: set[str]) -> None:
    found = read(answer)
    assert len(found.facts) == facts
    assert problems <= set(found.problems)
    assert found.facts or found.problems or found.readable


def test_the_corpus_is_large_enough() -> None:
    assert len(ANSWERS) >= 60


@given(st.text(max_size=400))
def test_any_text(answer: str) -> None:
    read(answer)


@given(st.integers(0, len(WHOLE)), st.text(alphabet='{}[]",:\\ntfe0', max_size=5), st.integers(0, 5))
def test_any_damage(at: int, put: str, cut: int) -> None:
    found = read(WHOLE[:at] + put + WHOLE[at + cut :])
    assert all(isinstance(fact, dict) for fact in found.facts)


def test_any_json() -> None:
    rng = random.Random(5)

    def value(depth: int) -> object:
        kinds = [None, True, 3, -1.5, "x", "text"]
        if depth < 4:
            kinds += [
                [value(depth + 1) for _ in range(rng.randrange(4))],
                {rng.choice(["facts", "text", "of", "x"]): value(depth + 1) for _ in range(rng.randrange(4))},
            ]
        return rng.choice(kinds)

    for _ in range(3000):
        read(json.dumps(value(0)))


@pytest.mark.parametrize(
    ("given", "meant"),
    [(0.5, 0.5), ("0.5", 0.5), (7, 1.0), (-1, 0.0), (None, None), ("high", None), ([], None), (float("nan"), None)],
)
def test_confidence(given: object, meant: float | None) -> None:
    assert number(given) == meant
