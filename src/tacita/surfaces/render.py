"""How the command line shows a response: JSON for programs, something pleasant for people."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tacita.operations import Response
from tacita.patterns import lazy_pattern

# Controls but tab and line feed, then what reorders or hides text. Joiners stay: scripts and emoji need them.
_UNSEEN = lazy_pattern(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def show(response: Response, *, as_json: bool, console: Console) -> None:
    """Print one response. Only the exact type is taken: nothing else may leave through a surface."""
    if type(response) is not Response:
        raise TypeError("a surface renders Response and nothing else")
    if as_json:
        console.file.write(msgspec.json.encode(response.data).decode() + "\n")
        return
    _PEOPLE.get(response.operation, _fields)(_visible(response.data), console)


def _visible(value: Any) -> Any:
    """The same data with every character escaped that acts on a terminal or hides others from who reads it."""
    if isinstance(value, str):
        return _UNSEEN.sub(lambda match: match.group().encode("unicode_escape").decode(), value)
    if isinstance(value, dict):
        return {_visible(key): _visible(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_visible(each) for each in value]
    return value


def _fields(data: Any, console: Console) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in data.items():
        table.add_row(Text(name.replace("_", " "), style="bold"), Text(_words(value)))
    console.print(table)


def _words(value: Any) -> str:
    """A value as people read it: lists of words on one line, lists of records one to a line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ([], {}, ()):
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        if any(isinstance(one, dict | list | tuple) for one in value):
            return "\n".join(_record(one) for one in value)
        return ", ".join(map(_words, value))
    return str(value)


def _record(one: Any) -> str:
    values = one.values() if isinstance(one, dict) else one if isinstance(one, list | tuple) else [one]
    return "  ".join(_words(value) for value in values)


def _doctor(data: Any, console: Console) -> None:
    shown = dict(data)
    shown["files"] = [
        f"{one['mode']}  {one['path']}{'' if one['private'] else '  OPEN TO OTHERS'}" for one in data["files"]
    ]
    shown["files"] = "\n".join(shown["files"]) or "-"
    shown["egress"] = "\n".join(map(_egress_line, data["egress"])) or "nothing leaves this machine"
    shown["models"] = "\n".join(
        f"{one['uri']}: {'present' if one['present'] else 'missing'}"
        f"{', checked' if one['verified'] else ''}{', ' + str(one['path']) if one['path'] else ''}"
        for one in data["models"]
    )
    _fields(shown, console)


def _egress_line(entry: Any) -> str:
    policy = f" ({entry['policy']})" if entry["policy"] else ""
    return f"{entry['host']}: {entry['role']} {entry['name']}, {entry['data']}{policy}"


def _egress(data: Any, console: Console) -> None:
    for entry in data:
        console.print(Text(_egress_line(entry)))
    if not data:
        console.print("nothing leaves this machine")


def _quarantine(data: Any, console: Console) -> None:
    for each in data:
        item = each["item"]
        line = Text(f"{item['created_at'][:16].replace('T', ' ')}  ", style="dim")
        line.append(f"{item['channel']}: ", style="bold")
        line.append(item["text"])
        console.print(line)
        # All that the digest covers and that can carry words.
        for field in ("metadata", "attachments"):
            if item[field]:
                console.print(Text(f"       {field}: {_words(item[field])}"))
        console.print(Text(f"       {', '.join(item['labels'])}", style="yellow"))
        console.print(Text(f"       id {item['id']}  digest {each['digest']}", style="dim"))
    if not data:
        console.print("nothing waits")


def _portrait(data: Any, console: Console) -> None:
    console.print(Text(data["text"]) if data else "there is none; --renew writes one")


def _trail(data: Any, console: Console) -> None:
    for each in data if isinstance(data, list) else [data]:
        line = Text(f"{each['at'][:19].replace('T', ' ')}  ", style="dim")
        line.append(f"{each['operation']:12s} ")
        line.append(f"{each['outcome']:8s}", style="red" if each["outcome"] == "denied" else "green")
        line.append(f"  {each['items']:6d}  vault {each['vault'] or '-':12s}  by {_words(each['actor'])}")
        line.append(f" for {_words(each['purpose'])}" if each["purpose"] else "")
        console.print(line)


def _forgetting(data: Any, console: Console) -> None:
    for warning in data["warnings"]:
        console.print(Text(f"note: {warning}", style="yellow"))
    for each in data["proposed"]:
        also = f", and {each['derived']} made of it" if each["derived"] else ""
        console.print(Text(f"{each['item']['id']}  ({each['reason']}{also})", style="dim"))
        console.print(Text(f"  {each['item']['text']}"))
    if data["receipt"]:
        console.print(Text(f"{len(data['receipt']['ids'])} items removed", style="green"))
    else:
        console.print(f"{len(data['proposed'])} items are meant; --really removes those that are named")


def _mentions(data: Any, console: Console) -> None:
    for each in data:
        subject = each["subject"]
        console.print(Text(f"{each['count']:4d}x  {subject['kind']} {subject['id']}  {each['id']}"))
    if not data:
        console.print("nobody's memory names them")


def _restrictions(data: Any, console: Console) -> None:
    for kind, reason in data.items():
        console.print(Text(f"{kind:8s}{'no' if reason is None else 'yes'}{f': {_words(reason)}' if reason else ''}"))


def _hits(data: Any, console: Console) -> None:
    for warning in data["warnings"]:
        console.print(Text(f"note: {warning}", style="yellow"))
    if not data["hits"]:
        console.print("nothing found")
    for number, hit in enumerate(data["hits"], 1):
        line = Text(f"{number:3d}  ", style="dim")
        line.append(f"{hit['score']:.3f}  ", style="cyan")
        line.append(f"{hit['timestamp'][:16].replace('T', ' ')}  ", style="dim")
        line.append(f"{hit['name'] or hit['role']}: ", style="bold")
        line.append(hit["text"])
        console.print(line)
        for signal in hit.get("signals", ()):
            console.print(
                Text(
                    f"       {signal['name']:10s} value {signal['value']:.3f}  rank {signal['rank']}  "
                    f"weight {signal['weight']:.2f}  gives {signal['contribution']:.3f}",
                    style="dim",
                )
            )
        console.print(Text(f"       id {hit['id']}", style="dim"))


def _items(data: Any, console: Console) -> None:
    for item in data["items"]:
        line = Text(f"{item['timestamp'][:16].replace('T', ' ')}  ", style="dim")
        line.append(f"{item['name'] or item['role']}: ", style="bold")
        line.append(item["text"])
        line.append(f"  ({item['id']})", style="dim")
        console.print(line)
    console.print(Text(f"{len(data['items'])} of {data['total']}", style="dim"))
    if data["next_cursor"]:
        console.print(Text(f"next page: --cursor {data['next_cursor']}", style="dim"))


def _history(data: Any, console: Console) -> None:
    for change in data:
        line = Text(
            f"{change['version']:3d}  {change['at'][:19].replace('T', ' ')}  {change['event']:8s} ", style="dim"
        )
        line.append(f"{change['actor']}: ", style="bold")
        line.append(change["text"] or "")
        console.print(line)


def _context(data: Any, console: Console) -> None:
    console.print(Text(data["text"]))


def _added(data: Any, console: Console) -> None:
    for result in data["results"]:
        console.print(Text(f"{result['event']:10s}{result['id']}"))
    if data.get("extraction"):
        _extraction(data["extraction"], console)


def _extraction(data: Any, console: Console) -> None:
    for fact in data["facts"]:
        line = Text(f"  {fact['event']:11s} ", style="dim")
        line.append(fact["text"])
        if fact["id"]:
            line.append(f"  ({fact['id']})", style="dim")
        console.print(line)
    for code, count in data["dropped"].items():
        console.print(Text(f"  dropped     {count} ({code})", style="yellow"))
    if data["failure"]:
        console.print(
            Text(f"  no facts ({data['failure']}): {data['reason']}; {data['pending']} messages wait", style="yellow")
        )


_PEOPLE = {
    "doctor": _doctor,
    "search": _hits,
    "get_all": _items,
    "history": _history,
    "context": _context,
    "add": _added,
    "egress": _egress,
    "extract": _extraction,
    "quarantine": _quarantine,
    "profile": _portrait,
    "summary": _portrait,
    "audit": _trail,
    "forget": _forgetting,
    "find_mentions": _mentions,
    "hold": _restrictions,
    "freeze": _restrictions,
}
