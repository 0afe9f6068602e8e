"""The `conversations.json` of a ChatGPT data export: a list of conversations, each a tree of messages.

Only the branch that ends at `current_node` is read: the one its owner saw last. Hidden system messages and empty
nodes, which the export is full of, are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tacita.importers.base import BadLine, Draft, Entries, Entry, Keys, Unreadable, records
from tacita.importers.parsing import content_of, elements, json_value, mapping, role_of, text_or_none, time_of
from tacita.importers.source import Source

FORMAT: Final = "chatgpt"
_SKIPPED: Final = frozenset({"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap"})
"""Content that nobody said: instructions set elsewhere, and the model's own working notes."""


def read(source: Source) -> Entries:
    """Every visible message of every conversation, each conversation from its beginning."""
    for number, (line, data) in enumerate(elements(source.document()), start=1):
        try:
            conversation = mapping(json_value(data), "the conversation")
            nodes = mapping(conversation.get("mapping"), "`mapping`")
            defaults = _defaults(conversation)
            branch = _branch(nodes, conversation.get("current_node"))
        except Unreadable as bad:
            yield BadLine(line=line, reason=f"conversation {number}: {bad}")
            continue
        yield from _messages(line, number, defaults, branch)


def _messages(line: int, number: int, defaults: Draft, branch: list[tuple[str, dict[str, Any]]]) -> Iterator[Entry]:
    keys = Keys(FORMAT)
    time = defaults.timestamp
    for place, (node_id, message) in enumerate(branch, start=1):
        try:
            if _hidden(message):
                continue
            draft = _draft(line, defaults, node_id, message, time)
            if draft.text.strip():
                time = draft.timestamp
                yield from records(draft, keys)
        except Unreadable as bad:
            yield BadLine(line=line, reason=f"conversation {number}, message {place}: {bad}")


def _defaults(conversation: dict[str, Any]) -> Draft:
    """What the conversation says of all its messages."""
    run = text_or_none(conversation.get("conversation_id"), "the conversation's id") or text_or_none(
        conversation.get("id"), "the conversation's id"
    )
    title = text_or_none(conversation.get("title"), "the title")
    return Draft(
        line=0,
        role="user",
        text="",
        timestamp=time_of(conversation.get("create_time")),
        metadata={"title": title} if title else {},
        ids={"run_id": run} if run else {},
    )


def _branch(nodes: dict[str, Any], current: Any) -> list[tuple[str, dict[str, Any]]]:
    """The messages from the root to the current node. Raises Unreadable for a tree that is none."""
    if current is None:
        # Old exports lack it: the last leaf of the file is the newest branch.
        leaves = [name for name, node in nodes.items() if isinstance(node, dict) and not node.get("children")]
        current = leaves[-1] if leaves else None
    walked: list[tuple[str, dict[str, Any]]] = []
    seen: set[str] = set()
    while current is not None:
        if not isinstance(current, str) or current not in nodes:
            raise Unreadable("the tree names a node that is not there")
        if current in seen:
            raise Unreadable("the tree runs in a circle")
        seen.add(current)
        node = mapping(nodes[current], "a node")
        if isinstance(node.get("message"), dict):
            walked.append((current, node["message"]))
        current = node.get("parent")
    return walked[::-1]


def _hidden(message: dict[str, Any]) -> bool:
    metadata = message.get("metadata")
    marks = metadata if isinstance(metadata, dict) else {}
    content = message.get("content")
    kind = content.get("content_type") if isinstance(content, dict) else None
    passed_over = isinstance(kind, str) and kind in _SKIPPED
    return bool(marks.get("is_visually_hidden_from_conversation")) or message.get("weight") == 0 or passed_over


def _draft(line: int, defaults: Draft, node_id: str, message: dict[str, Any], time: Any) -> Draft:
    author = mapping(message.get("author"), "the author")
    content = mapping(message.get("content"), "the content")
    parts = content.get("parts", content.get("text"))
    text, attachments = content_of(parts)
    return Draft(
        line=line,
        role=role_of(author.get("role")),
        text=text,
        name=text_or_none(author.get("name"), "the name"),
        # Messages without a time of their own were said after the one before.
        timestamp=time_of(message.get("create_time")) or time,
        metadata=defaults.metadata,
        attachments=attachments,
        ids=defaults.ids,
        position=node_id,
    )
