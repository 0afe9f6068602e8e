"""Planted words in every form in which a program may leave them behind, and a look for them in files and bytes."""

from __future__ import annotations

import base64
import codecs
import json
import quopri
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote


def forms(word: str) -> dict[str, bytes]:
    """A word of ASCII letters, eight or longer, in the encodings that are looked for, by name."""
    raw = word.encode()
    found = {
        "utf-8": raw,
        "upper case": word.upper().encode(),
        "title case": word.title().encode(),
        "stem": raw[:-2],
        "reversed": raw[::-1],
        "utf-16-le": word.encode("utf-16-le"),
        "utf-16-be": word.encode("utf-16-be"),
        "utf-32-le": word.encode("utf-32-le"),
        "utf-32-be": word.encode("utf-32-be"),
        "ebcdic": word.encode("cp500"),
        "hex": raw.hex().encode(),
        "hex upper": raw.hex().upper().encode(),
        "hex spaced": raw.hex(" ").encode(),
        "hex dump": raw.hex(":").encode(),
        "base32": base64.b32encode(raw).rstrip(b"=")[:-1],
        "ascii85": base64.a85encode(raw)[: len(raw) // 4 * 5],
        "base85": base64.b85encode(raw)[: len(raw) // 4 * 5],
        "rot13": codecs.encode(word, "rot13").encode(),
        "percent": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "c escapes": "".join(f"\\x{byte:02x}" for byte in raw).encode(),
        "octal escapes": "".join(f"\\{byte:03o}" for byte in raw).encode(),
        "json escapes": "".join(f"\\u{byte:04x}" for byte in raw).encode(),
        "html decimal": "".join(f"&#{byte};" for byte in raw).encode(),
        "html hex": "".join(f"&#x{byte:x};" for byte in raw).encode(),
        "quoted-printable": "".join(f"={byte:02X}" for byte in raw).encode(),
        "bits": "".join(f"{byte:08b}" for byte in raw).encode(),
        "decimal list": ", ".join(map(str, raw)).encode(),
        "spaced": " ".join(word).encode(),
    }
    # Base64 depends on what stands before: three alignments, without the characters that neighbours change.
    for shift in range(3):
        body = base64.b64encode(b"\0" * shift + raw)
        start = (shift * 8 + 5) // 6
        end = (shift + len(raw)) * 8 // 6
        found[f"base64, alignment {shift}"] = body[start:end]
        found[f"base64url, alignment {shift}"] = body[start:end].replace(b"+", b"-").replace(b"/", b"_")
    return found


def found_in(data: bytes, words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(word, form) of everything that stands in some bytes."""
    for word in words:
        for name, needle in forms(word).items():
            if needle in data:
                yield word, name


def found_under(folder: Path, words: Iterable[str]) -> list[tuple[str, str, str]]:
    """(file, word, form) of everything that stands in the files under a folder, or in their names."""
    planted = tuple(words)
    hits = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes() + bytes(path.relative_to(folder))
            hits += [(str(path.relative_to(folder)), word, form) for word, form in found_in(data, planted)]
    return hits


def written(word: str) -> dict[str, bytes]:
    """What real encoders write around a word, for a test that the look would find it."""
    return {
        "json": json.dumps({"text": f"say {word} twice"}).encode(),
        "base64": base64.b64encode(f"some {word} text".encode()),
        "url": quote(f"x y {word}").encode(),
        "quoted-printable": quopri.encodestring(f"long {word}".encode()),
        "hex": f"is {word}.".encode().hex().encode(),
        "utf-16": f"is {word}.".encode("utf-16"),
        "ascii85": base64.a85encode(b"abcd" + word.encode()),
        "base32": base64.b32encode(word.encode() + b" "),
        "repr": repr(f"{word}\n".encode()).encode(),
    }
