"""Config files, the environment and references to secrets: what is read, and what is refused."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tacita import _home, registry
from tacita.credentials import Credential
from tacita.errors import ConfigError
from tacita.patterns import lazy_pattern
from tacita.privacy.detect import scan

_URI_FIELDS = ("store", "ring", "keys", "embedder", "model", "reranker", "vectors")
_LITERAL_SECRET = lazy_pattern(
    r"//[^/@\s]*:[^/@\s]+@|^(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=)$"
    r"|[?&](?:key|secret|token|credentials|password)=(?!(?:env|file|keyring):|default\b)"
)


def read_config(config: Mapping[str, Any] | str | os.PathLike[str], known: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a dict, or a TOML or JSON file, describes, and how to call it. Raises ConfigError for an unknown setting."""
    if isinstance(config, Mapping):
        described, source = dict(config), "config"
    else:
        path = Path(config)
        source = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"the config file {path} cannot be read: {error.strerror}") from None
        try:
            described = json.loads(raw) if path.suffix == ".json" else tomllib.loads(raw.decode())
        except (ValueError, RecursionError):
            raise ConfigError(
                f"the config file {path} is not valid {'JSON' if path.suffix == '.json' else 'TOML'}"
            ) from None
        if not isinstance(described, dict):
            raise ConfigError(f"the config file {path} must hold an object")
    for name in described:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
            raise ConfigError(f"unknown setting {str(name)!r} in {source}{hint}")
    return described, source


_VARIABLE = lazy_pattern(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expanded(value: Any, where: str) -> Any:
    """A config value with `${NAME}` replaced by that variable, at any depth. Raises ConfigError for one that is not set."""
    if isinstance(value, str):

        def of(match: re.Match[str]) -> str:
            if match[1] not in os.environ:
                raise ConfigError(f"{where} uses ${{{match[1]}}}, and that variable is not set")
            return os.environ[match[1]]

        return _VARIABLE.sub(of, value)
    if isinstance(value, Mapping):
        return {key: expanded(each, f"{where}.{key}" if where else str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [expanded(each, where) for each in value]
    return value


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _strings(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each, name)


def refuse_literal_secrets(values: Mapping[str, Any]) -> None:
    for name, value in _strings(values, ""):
        if name.rpartition(".")[2] in ("key", "secret", "token", "password", "credentials"):
            literal = value.partition(":")[0] not in ("env", "file", "keyring")
        else:
            literal = (name in _URI_FIELDS or name.startswith("tenants.")) and _LITERAL_SECRET.search(value) is not None
            # By what it is and not by what it is called: a connection string hides in a name that nobody thought of.
            # Not what only stands behind a telling word: `passphrase:file:...` is no password.
            literal = literal or any(
                finding.kind == "secret" and finding.type not in ("password", "token") for finding in scan(value)
            )
        if literal:
            written = "...?key=env:NAME" if name in ("model", "embedder") else "env:NAME"
            raise ConfigError(
                f'the setting {name} holds a literal secret; put it into a variable and write {name} = "{written}"'
            )


def secrets_of(uri: str) -> Callable[[str], Credential]:
    """The credentials that a URI refers to, by option."""
    references = dict(parse_qsl(uri.partition("?")[2]))

    def secret(option: str) -> Credential:
        if option not in references:
            raise ConfigError(f"{uri.partition('?')[0]}: {option} is not given; write {option}=env:NAME")
        # A service account's JSON has many lines; of other files the first one counts.
        return Credential(references[option], partial(read_reference, whole=option == "credentials"))

    return secret


def read_reference(reference: str, *, whole: bool = False) -> str:
    """The secret behind `env:NAME` or `file:PATH`. Raises ConfigError, naming only the reference."""
    scheme, rest = registry.split(reference)
    if scheme == "env":
        value = os.environ.get(rest)
    elif scheme == "file":
        value = _home.read_secret_file(Path(rest), whole=whole)
    elif scheme == "keyring":
        value = registry.lookup("credentials", "keyring")(*rest.partition("/")[::2])
    else:
        raise ConfigError("a secret is given by reference: env:NAME, file:PATH or keyring:SERVICE/NAME")
    if not value:
        raise ConfigError(f"the secret behind {scheme}:{rest} is empty or not set")
    return value


def parts_of(name: str, url: str) -> SplitResult:
    """The parts of a setting's address. Raises ConfigError for one that cannot be read."""
    try:
        parts = urlsplit(url)
        # A port that is none raises only when it is asked for.
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{name} is no address that can be read") from None
    return parts


def telemetry_off() -> bool:
    """Whether the environment switches telemetry off. Read each time: the switch works at any moment."""
    return os.environ.get("TACITA_TELEMETRY", "").lower() in ("0", "false", "off", "no") or (
        os.environ.get("DO_NOT_TRACK", "").lower() not in ("", "0", "false")
    )
