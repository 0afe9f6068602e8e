"""Check digits: whether a number that has the right length can be what it looks like. Digits in, truth out."""

from __future__ import annotations

from itertools import cycle
from typing import Final

from tacita.hazmat import sha256

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DNI: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
# Verhoeff, "Error Detecting Decimal Codes", 1969: multiplication in the dihedral group D5, and its permutation.
_D5: Final = [
    [
        (a + b) % 5 if a < 5 and b < 5 else 5 + (a + b) % 5 if a < 5 else 5 + (a - b) % 5 if b < 5 else (a - b) % 5
        for b in range(10)
    ]
    for a in range(10)
]
_PERMUTATION: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def digits(text: str) -> str:
    """The decimal digits of a text."""
    return "".join(char for char in text if char in "0123456789")


def luhn(number: str) -> bool:
    """ISO/IEC 7812: payment cards, Canadian social insurance numbers."""
    total = 0
    for place, char in enumerate(reversed(number)):
        digit = int(char) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def iban(number: str) -> bool:
    """ISO 13616: the rest modulo 97 of the rearranged number is 1."""
    rearranged = number[4:] + number[:4]
    return int("".join(str(int(char, 36)) for char in rearranged)) % 97 == 1


def weighted(number: str, weights: str, modulus: int) -> int:
    """The weighted sum of the digits, modulo something."""
    return sum(int(a) * int(b) for a, b in zip(number, weights, strict=False)) % modulus


def nhs(number: str) -> bool:
    """United Kingdom, 10 digits."""
    return (11 - sum(int(char) * (10 - place) for place, char in enumerate(number[:9])) % 11) % 11 == int(number[9])


def bsn(number: str) -> bool:
    """Netherlands, 9 digits."""
    return (weighted(number[:8], "98765432", 11) - int(number[8])) % 11 == 0


def pesel(number: str) -> bool:
    """Poland, 11 digits."""
    return (weighted(number[:10], "1379137913", 10) + int(number[10])) % 10 == 0


def nif(number: str) -> bool:
    """Portugal, 9 digits."""
    rest = 11 - weighted(number[:8], "98765432", 11)
    return (0 if rest > 9 else rest) == int(number[8])


def cpf(number: str) -> bool:
    """Brazil, 11 digits with two check digits."""
    if len(set(number)) == 1:
        return False
    for size in (9, 10):
        rest = sum(int(char) * (size + 1 - place) for place, char in enumerate(number[:size])) * 10 % 11 % 10
        if rest != int(number[size]):
            return False
    return True


def nir(number: str) -> bool:
    """France, 13 digits and a two-digit key."""
    return 97 - int(number[:13]) % 97 == int(number[13:])


def dni(number: str) -> bool:
    """Spain: DNI (8 digits, a letter) and NIE (X, Y or Z first)."""
    head = number[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return _DNI[int(head) % 23] == number[-1]


def steuer_id(number: str) -> bool:
    """Germany, 11 digits (ISO 7064, mod 11,10); one digit occurs two or three times among the first ten."""
    product = 10
    for char in number[:10]:
        total = (int(char) + product) % 10 or 10
        product = 2 * total % 11
    repeated = max(number[:10].count(char) for char in set(number[:10]))
    return number[0] != "0" and repeated in (2, 3) and (11 - product) % 10 == int(number[10])


def verhoeff(number: str) -> bool:
    """India's Aadhaar, 12 digits."""
    permutation = tuple(range(10))
    check = 0
    for char in reversed(number):
        check = _D5[check][permutation[int(char)]]
        permutation = tuple(_PERMUTATION[each] for each in permutation)
    return check == 0


def base58check(text: str) -> bool:
    """Bitcoin addresses of the older kind."""
    value = 0
    for char in text:
        value = value * 58 + _BASE58.index(char)
    raw = value.to_bytes(25) if value.bit_length() <= 200 else b""
    return len(raw) == 25 and sha256(sha256(raw[:21]))[:4] == raw[21:]


def bech32(text: str) -> bool:
    """Bitcoin addresses of the newer kind (BIP 173 and 350)."""
    lowered = text.lower()
    head, _, data = lowered.rpartition("1")
    values = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".find(char) for char in data]
    if not head or -1 in values:
        return False
    check = 1
    for value in [*(ord(char) >> 5 for char in head), 0, *(ord(char) & 31 for char in head), *values]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in zip(range(5), cycle(_BECH32), strict=False):
            check ^= generator if top >> place & 1 else 0
    return check in (1, 0x2BC830A3)


_BECH32: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
