"""Small data sets in the official files' forms, made by the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def longmemeval(path: Path) -> Path:
    """Four questions: one over two sessions, one that only the assistant answers, one abstention, one preference."""

    def session(*said: tuple[str, str, bool]) -> list[dict[str, Any]]:
        turns = []
        for role, content, answer in said:
            turn: dict[str, Any] = {"role": role, "content": content}
            if answer:
                turn["has_answer"] = True
            turns.append(turn)
        return turns

    idle = session(("user", "It rained all day.", False), ("assistant", "A day for tea.", False))
    entries = [
        {
            "question_id": "q1",
            "question_type": "multi-session",
            "question": "How many fish do I have in both tanks?",
            "question_date": "2023/05/30 (Tue) 23:40",
            "answer": 17,
            "answer_session_ids": ["answer_a", "answer_b"],
            "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 10:00", "2023/05/22 (Mon) 11:15"],
            "haystack_session_ids": ["answer_a", "other", "answer_b"],
            "haystack_sessions": [
                session(("user", "My first tank holds ten tetra fish.", True), ("assistant", "Lovely fish.", False)),
                idle,
                session(("user", "I like shrimp.", False), ("user", "The other tank has seven fish, guppies.", True)),
            ],
        },
        {
            "question_id": "q2",
            "question_type": "single-session-assistant",
            "question": "Which museum did you recommend?",
            "question_date": "2023/05/30 (Tue) 23:40",
            "answer": "the tram museum",
            "answer_session_ids": ["answer_c"],
            "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 10:00"],
            "haystack_session_ids": ["answer_c", "other"],
            "haystack_sessions": [
                session(("user", "Where should I go?", False), ("assistant", "Go to the tram museum.", True)),
                idle,
            ],
        },
        {
            "question_id": "q3_abs",
            "question_type": "single-session-user",
            "question": "What is my cat's name?",
            "question_date": "2023/05/30 (Tue) 23:40",
            "answer": "You did not say.",
            "answer_session_ids": ["other"],
            "haystack_dates": ["2023/05/21 (Sun) 10:00"],
            "haystack_session_ids": ["other"],
            "haystack_sessions": [idle],
        },
        {
            "question_id": "q4",
            "question_type": "single-session-preference",
            "question": "Which drink would I enjoy?",
            "question_date": "2023/06/01 (Thu) 09:00",
            "answer": "something without caffeine",
            "answer_session_ids": ["answer_d"],
            "haystack_dates": ["2023/05/21 (Sun) 10:00", "2023/05/23 (Tue) 08:05"],
            "haystack_session_ids": ["other", "answer_d"],
            "haystack_sessions": [idle, session(("user", "I only enjoy a drink without caffeine.", True))],
        },
    ]
    path.write_text(json.dumps(entries))
    return path


def locomo(path: Path) -> Path:
    """One conversation of two sessions, with evidence typed in the ways of the official file."""
    sample = {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Rui",
            "session_10_date_time": "1:56 pm on 8 May, 2023",
            "session_10": [{"speaker": "Rui", "dia_id": "D10:1", "text": "I sold the boat."}],
            "session_2_date_time": "9:05 am on 7 May, 2023",
            "session_2": [
                {"speaker": "Ana", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a red kite"},
                {"speaker": "Rui", "dia_id": "D2:2", "text": "Nice."},
            ],
        },
        "qa": [
            {"question": "What flew?", "answer": "a kite", "evidence": ["D2:1"], "category": 4},
            {"question": "What and who?", "answer": 2, "evidence": ["D:2:1; D10:01"], "category": 1},
            {"question": "Nothing?", "answer": "x", "evidence": ["D99:1"], "category": 4},
            {"question": "What did Ana sell?", "adversarial_answer": "a boat", "evidence": ["D10:1"], "category": 5},
        ],
    }
    path.write_text(json.dumps([sample]))
    return path


def friendsqa(folder: Path) -> Path:
    """A scene in each of two files, tokenised as the official ones are; the folder `dat`."""
    folder.mkdir()

    def scene(title: str, said: list[tuple[list[str], str]], *asked: tuple[str, int]) -> dict[str, Any]:
        utterances = [{"uid": uid, "speakers": who, "utterance": text} for uid, (who, text) in enumerate(said)]
        questions = [
            {"id": f"{title}-{question}", "question": question, "answers": [{"answer_text": "it", "utterance_id": uid}]}
            for question, uid in asked
        ]
        return {"data": [{"title": title, "paragraphs": [{"utterances:": utterances, "qas": questions}]}]}

    late = scene(
        "s02_e01", [(["Ana Lima"], "You 're gon na go , are n't you ?"), ([], "( Bo leaves )")], ("Who leaves ?", 1)
    )
    early = scene("s01_e01", [(["Ana Lima", "Bo"], "It 's ' fine ' .")], ("Is it Ana 's ?", 0), ("What is fine ?", 0))
    (folder / "friendsqa_dev.json").write_text(json.dumps(late))
    (folder / "friendsqa_tst.json").write_text(json.dumps(early))
    return folder


def beam(folder: Path) -> Path:
    """One chat of two batches; the folder `chats`."""
    chat = folder / "100K" / "3"
    (chat / "probing_questions").mkdir(parents=True)
    (folder / "100K" / "4").mkdir()

    def said(id: int, role: str, content: str, anchor: str | None = None) -> dict[str, Any]:
        return {"id": id, "role": role, "content": content, **({"time_anchor": anchor} if anchor else {})}

    first = [said(0, "user", "I plan a garden. ->-> 1,1", "March-15-2024"), said(1, "assistant", "Good.")]
    second = [said(2, "user", "The garden has a pond now. ->-> 2,4", "April-01-2024")]
    batches = [{"batch_number": 1, "turns": [first]}, {"batch_number": 2, "turns": [second]}]
    (chat / "chat.json").write_text(json.dumps(batches))
    probing = {
        "abstention": [{"question": "Who?", "ideal_response": "unknown"}],
        "knowledge_update": [
            {"question": "A pond?", "answer": "yes", "source_chat_ids": {"updated": [2], "old": ["0"]}}
        ],
        "summarization": [
            {"question": "Sum up.", "ideal_summary": "a garden", "source_chat_ids": "0, 1"},
            {"question": "Nothing.", "ideal_summary": "x", "source_chat_ids": [77]},
        ],
    }
    (chat / "probing_questions" / "probing_questions.json").write_text(json.dumps(probing))
    return folder
