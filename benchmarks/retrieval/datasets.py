"""Loaders of LoCoMo, BEAM, LongMemEval and FriendsQA, from files that the user has. None of their content is bundled.

What counts as evidence, and what is left out, is what the data sets' own scripts do: LoCoMo's category 5 (adversarial) is shown
but not counted; questions without evidence that can be found in the conversation are dropped; so are BEAM's
abstention questions and LongMemEval's ending in `_abs`, which have none.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.retrieval.cases import DataSet, Haystack, Question, Turn

LOCOMO = {1: "1 multi-hop", 2: "2 temporal", 3: "3 open-domain", 4: "4 single-hop", 5: "5 adversarial"}
BEAM_SIZES = ("100K", "500K", "1M")
FRIENDS_WORDS = ("what", "when", "where", "who", "why", "how")
FRIENDS_SCENES = 10
"""Scenes that one memory of FriendsQA holds."""
_BEAM_ANSWERS = ("answer", "ideal_answer", "ideal_response", "ideal_summary", "expected_compliance")


def locomo(path: Path) -> DataSet:
    """LoCoMo's JSON file. Shared photos are the caption that the file gives them."""
    questions: list[Question] = []
    notes: Counter[str] = Counter()
    for sample in json.loads(path.read_text(encoding="utf-8")):
        conversation = sample["conversation"]
        names = sorted((key for key in conversation if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:]))
        turns = [
            Turn(said["dia_id"], _with_caption(said), name[8:], speaker=said["speaker"], when=when)
            for name in names
            for when in [_locomo_date(conversation.get(f"{name}_date_time", ""))]
            for said in conversation[name]
        ]
        haystack = Haystack(f"locomo/{sample['sample_id']}", turns)
        known = {turn.id for turn in turns}
        for number, asked in enumerate(sample["qa"]):
            gold = frozenset(_locomo_evidence(asked.get("evidence") or [])) & known
            if not gold:
                notes["questions without evidence"] += 1
                continue
            answer = asked.get("answer")
            questions.append(
                Question(
                    f"{sample['sample_id']}#{number}",
                    haystack,
                    asked["question"],
                    LOCOMO[asked["category"]],
                    gold,
                    frozenset(haystack.session_of[each] for each in gold),
                    counted=asked["category"] != 5,
                    answer=None if answer is None else str(answer),
                )
            )
    return DataSet("LoCoMo", questions, _noted(notes))


def _with_caption(said: dict[str, Any]) -> str:
    caption = said.get("blip_caption")
    return f"{said['text']} [shared photo: {caption}]" if caption else str(said["text"])


def _locomo_evidence(listed: list[str]) -> Iterator[str]:
    """Turn ids, whatever way they were typed: `D8:6; D9:17`, `D:11:26`, `D30:05`."""
    for each in listed:
        yield from (f"D{int(a)}:{int(b)}" for a, b in re.findall(r"D:?(\d+):(\d+)", each))


def _locomo_date(text: str) -> datetime | None:
    """`1:56 pm on 8 May, 2023`. None for the sessions without one."""
    return datetime.strptime(text, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC) if text else None


def beam(folder: Path, size: str) -> DataSet:
    """BEAM's `chats` folder, one size of it."""
    questions: list[Question] = []
    notes: Counter[str] = Counter()
    for chat in sorted((each for each in (folder / size).iterdir() if each.name.isdigit()), key=lambda f: int(f.name)):
        files = [chat / name for name in ("chat_trunecated.json", "chat.json")]  # the first is spelled so
        found = next((each for each in files if each.exists()), None)
        if found is None:
            notes["conversations without a chat file"] += 1
            continue
        turns = list(_beam_turns(json.loads(found.read_text(encoding="utf-8"))))
        haystack = Haystack(f"beam/{size}/{chat.name}", turns)
        known = {turn.id for turn in turns}
        probing = chat / "probing_questions" / "probing_questions.json"
        for category, asked in json.loads(probing.read_text(encoding="utf-8")).items():
            for number, each in enumerate(asked):
                gold = frozenset(_numbers(each.get("source_chat_ids"))) & known
                if category == "abstention" or not gold:
                    notes["abstention" if category == "abstention" else "questions without evidence"] += 1
                    continue
                answer = next((str(each[name]) for name in _BEAM_ANSWERS if each.get(name)), None)
                name = f"{size}/{chat.name}/{category}/{number}"
                questions.append(Question(name, haystack, each["question"], category, gold, answer=answer))
    return DataSet(f"BEAM {size}", questions, _noted(notes))


def _beam_turns(chat: list[dict[str, Any]]) -> Iterator[Turn]:
    anchor = ""
    for batch in chat:
        for said in (said for turn in batch["turns"] for said in turn):
            anchor = said.get("time_anchor") or anchor
            # `->-> 1,25` at the end of a user's message is bookkeeping of BEAM's generator.
            text = re.sub(r"\s*->->\s*[^\n]{0,20}\s*$", "", said["content"])
            session = str(batch["batch_number"])
            yield Turn(said["id"], text, session, said["role"], when=_beam_date(anchor))


def _beam_date(text: str) -> datetime | None:
    """`March-15-2024`, `March 15, 2024`, `03-15-2024` or `2024-03-15`; None for nothing."""
    cleaned = re.sub(r"[\s,/-]+", " ", text).strip()
    for form in ("%B %d %Y", "%b %d %Y", "%m %d %Y", "%Y %m %d", "%d %B %Y"):
        try:
            return datetime.strptime(cleaned, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    if cleaned:
        raise ValueError("a BEAM chat has a time anchor of an unknown form")
    return None


def _numbers(listed: object) -> Iterator[int]:
    """Message ids out of the lists, texts and tables that BEAM keeps them in."""
    if isinstance(listed, int) and not isinstance(listed, bool):
        yield listed
    elif isinstance(listed, str):
        yield from map(int, re.findall(r"\d+", listed))
    elif isinstance(listed, dict):
        yield from (number for each in listed.values() for number in _numbers(each))
    elif isinstance(listed, list):
        yield from (number for each in listed for number in _numbers(each))


def longmemeval(path: Path, name: str, index: Literal["user", "full"] = "user") -> DataSet:
    """The official file, S or M: each question has a haystack of its own.

    Args:
        index: `user` keeps what users said, as the official retrieval script does, and drops questions that only an
            assistant's turn answers; `full` keeps both sides.
    """
    questions: list[Question] = []
    notes: Counter[str] = Counter()
    for entry in json.loads(path.read_text(encoding="utf-8")):
        if entry["question_id"].endswith("_abs"):
            notes["abstention"] += 1
            continue
        turns: list[Turn] = []
        gold: set[str] = set()
        wanted = set(entry["answer_session_ids"])
        sessions = zip(entry["haystack_session_ids"], entry["haystack_sessions"], entry["haystack_dates"], strict=True)
        for session, said, date in sessions:
            for number, each in enumerate(said):
                if index == "user" and each["role"] != "user":
                    continue
                turn = Turn(f"{session}#{number}", each["content"], session, each["role"], when=_longmemeval_date(date))
                turns.append(turn)
                if each.get("has_answer") and session in wanted:
                    gold.add(f"{session}#{number}")
        haystack = Haystack(f"longmemeval/{entry['question_id']}", turns)
        held = wanted & set(entry["haystack_session_ids"])
        if index == "user":
            # Official: a session counts only if the user says the answer in it.
            held &= {haystack.session_of[each] for each in gold}
        if not held:
            notes["questions that only an assistant answers" if index == "user" else "questions without evidence"] += 1
            continue
        questions.append(
            Question(
                entry["question_id"],
                haystack,
                entry["question"],
                entry["question_type"],
                frozenset(gold),
                frozenset(held),
                when=_longmemeval_date(entry["question_date"]),
                answer=str(entry["answer"]),
            )
        )
    return DataSet(name, questions, _noted(notes))


def _longmemeval_date(text: str) -> datetime:
    """`2023/05/20 (Sat) 02:21`."""
    return datetime.strptime(re.sub(r"\s*\([A-Za-z]+\)", "", text), "%Y/%m/%d %H:%M").replace(tzinfo=UTC)


def friendsqa(folder: Path) -> DataSet:
    """FriendsQA's folder `dat`: what friends of a television series say, asked about by who, what, when, where, why and how.

    Each question was asked of one scene of some twenty utterances. Here a memory is ten scenes, in the order of the series. It
    takes both the development and the test file.
    """
    scenes: list[tuple[str, dict[str, Any]]] = []
    for part in ("dev", "tst"):
        for scene in json.loads((folder / f"friendsqa_{part}.json").read_text(encoding="utf-8"))["data"]:
            scenes += [(scene["title"], told) for told in scene["paragraphs"]]
    scenes.sort(key=lambda scene: scene[0])
    questions: list[Question] = []
    for start in range(0, len(scenes), FRIENDS_SCENES):
        held = scenes[start : start + FRIENDS_SCENES]
        # The colon belongs to the file's own key.
        turns = [
            Turn(
                (title, said["uid"]), _joined(said["utterance"]), title, speaker=" and ".join(said["speakers"]) or None
            )
            for title, told in held
            for said in told["utterances:"]
        ]
        haystack = Haystack(f"friendsqa/{held[0][0]}", turns)
        for title, told in held:
            for asked in told["qas"]:
                text, answers = _joined(asked["question"]), asked["answers"]
                word = text.split()[0].lower()
                gold = frozenset((title, answer["utterance_id"]) for answer in answers)
                category = word if word in FRIENDS_WORDS else "other"
                answer = answers[0]["answer_text"]
                questions.append(Question(asked["id"], haystack, text, category, gold, answer=answer))
    return DataSet("FriendsQA", questions)


def _joined(tokens: str) -> str:
    """`You 're gon na go , are n't you ?` as it is written elsewhere."""
    return re.sub(r" (?=[.,!?;:]|n't\b|'(?:s|re|ve|ll|d|m)\b)", "", tokens)


def _noted(notes: Counter[str]) -> list[str]:
    return [f"{count} {what} left out" for what, count in sorted(notes.items())]
