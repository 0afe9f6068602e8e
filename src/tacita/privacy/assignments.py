"""Secrets that are known by what they are called: `db_password = "..."`, `"api_token": "..."`, "my password is ...".

The name decides how much the value must look like a secret.
"""

from __future__ import annotations

import re
from typing import Final

from tacita.patterns import lazy_pattern
from tacita.privacy.entropy import entropy, is_placeholder

ASSIGNMENT: Final = (
    r"(?i)(?P<name>[a-z0-9_.\-]{0,60}(?:token|secret|key|passw(?:or)?d|passwd|passphrase|pwd|cred(?:ential)?s?|login|auth)"
    r"[a-z0-9_.\-]{0,24})"
    r"[\"'\x60\]) \t\\]{0,12}(?:=|>|:{1,3}=?|\|\||\?=|,|\.=|\+=|\?)[\"'\x60 \t=>\\]{0,7}"
    r"(?P<value>[^\s\"'\x60,;<>(){}\[\]]{4,300})"
)
"""Groups `name` and `value`."""

SPOKEN: Final = (
    r"(?i)\b(?:password|passcode|passphrase|pin|pin code)\s+(?:is|was|to)\s*:?\s*[\"'\x60]?([^\s\"'\x60]{4,100})"
)
"""A person saying it. Group 1 is the value."""

_CAMEL: Final = lazy_pattern(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PASSWORD: Final = frozenset({"password", "passwd", "passphrase", "pwd", "pass", "pw"})
_SECRET: Final = _PASSWORD | {
    "token",
    "secret",
    "credential",
    "credentials",
    "creds",
    "cred",
    "apikey",
    "login",
    "auth",
    "accesskey",
}
_KEY_KINDS: Final = frozenset(
    "api access secret private auth encryption signing master service account client app webhook license admin loki "
    "deploy storage shared project insert".split()
)
_HARMLESS: Final = frozenset(
    "public csrf xsrf foreign primary sort partition cache object issuer page next continuation pagination pub "
    "keyboard monkey first last map dict config idempotency".split()
)
_ABOUT: Final = frozenset(
    "id ids name names size length len hash type file path url uri count pair selector field format class min max "
    "version status error results expiry expires ttl policy manager provider".split()
)
_VENDORS: Final = frozenset(
    "adafruit adobe airtable algolia alibaba asana atlassian jira confluence beamer bitbucket bittrex cloudflare codecov "
    "coinbase confluent contentful datadog digitalocean discord droneci dropbox etsy facebook fastly finicity finnhub "
    "flickr freshbooks gitter heroku hubspot intercom kraken kucoin launchdarkly linear linkedin looker mattermost "
    "messagebird netlify nytimes okta plaid rapidapi sendbird sentry snyk squarespace sumologic travis travisci trello "
    "twitch twitter xray jfrog artifactory yandex zendesk new relic messagebird".split()
)
"""Some of these issue short tokens, which under another name would look like an ordinary word."""
_SHORT: Final = 18

_TAILS: Final = frozenset({"value", "string", "key", "live", "prod", "test", "dev"})
_RANDOM_CHARS: Final = lazy_pattern(r"[A-Za-z0-9_~.=+/@|:!-]+")
_IDENTIFIER: Final = lazy_pattern(r"[A-Za-z_.$\-]+=?|(?:[A-Za-z_]+\.)+\w+")
_NUMBERED: Final = lazy_pattern(r"\d")


def name_strength(name: str) -> int:
    """2 for a name that only secrets have (`db_password`, `api_token`), 1 for one that they often have, else 0."""
    words = [word.lower() for part in re.split(r"[_\-.]+", name) for word in _CAMEL.findall(part)]
    while words and (words[-1].isdigit() or (words[-1] in _TAILS and len(words) > 1 and words[-2] in _SECRET)):
        words.pop()
    if not words or not _HARMLESS.isdisjoint(words):
        return 0
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _PASSWORD:
        return 3
    if last in _SECRET:
        return 2
    if last == "key":
        return 2 if before in _KEY_KINDS else 1 if before else 0
    return 1 if not _SECRET.isdisjoint(words) and last not in _ABOUT else 0


def is_secret(name: str, strength: int, value: str) -> bool:
    """Whether the value of something with this name, of this `name_strength`, is a secret."""
    return bool(strength) and _is_random(name, strength, value) and not is_placeholder(value)


def _is_random(name: str, strength: int, value: str) -> bool:
    if strength == 3:
        # What has letters, dots and underscores alone is the name of something, not a secret.
        named = _IDENTIFIER.fullmatch(value) is not None or "passw" in value.lower()
        return len(value) >= 6 and not named and "://" not in value and entropy(value) >= 2.2
    if "://" in value or not _RANDOM_CHARS.fullmatch(value) or value.count(".") > 4:
        return False
    if strength == 1:
        return len(value) >= 20 and _digits(value) >= 2 and entropy(value) >= 3.5
    if value.isdigit():
        return len(value) >= 15 and entropy(value) >= 2.2
    if len(value) < 14 or (len(value) < _SHORT and not any(vendor in name.lower() for vendor in _VENDORS)):
        return False
    bits = entropy(value)
    # Words joined by underscores and dots are names, not secrets.
    return bits >= 2.9 and (
        _digits(value) >= 2 or (len(value) >= 20 and bits >= 3.7 and not value.islower() and "_" not in value)
    )


def _digits(value: str) -> int:
    return len(_NUMBERED.findall(value))


def is_spoken_secret(value: str) -> bool:
    """Whether "my password is X" says one: words alone ("my password is wrong") do not."""
    stripped = value.rstrip(".,!?;:")
    return len(stripped) >= 4 and not stripped.isalpha() and any(char.isdigit() for char in stripped)
