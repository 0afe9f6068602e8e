"""Numbers that are published as examples, and the same with one digit changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tacita.privacy import checksums

VALID: list[tuple[Callable[[str], bool], str]] = [
    (checksums.luhn, "4111111111111111"),
    (checksums.luhn, "046454286"),
    (checksums.iban, "GB82WEST12345698765432"),
    (checksums.iban, "DE89370400440532013000"),
    (checksums.nhs, "9434765919"),
    (checksums.bsn, "111222333"),
    (checksums.pesel, "44051401359"),
    (checksums.nif, "123456789"),
    (checksums.cpf, "52998224725"),
    (checksums.nir, "255081416802538"),
    (checksums.steuer_id, "86095742719"),
    (checksums.verhoeff, "234123412346"),
]


@pytest.mark.parametrize(("check", "number"), VALID, ids=lambda value: getattr(value, "__name__", value))
def test_a_changed_digit_is_noticed(check: Callable[[str], bool], number: str) -> None:
    assert check(number)
    for at, char in enumerate(number):
        if char.isdigit():
            for other in "0123456789".replace(char, ""):
                changed = number[:at] + other + number[at + 1 :]
                # Luhn, mod 11 and weights of ten let some changes pass; none of these schemes lets all pass.
                if not check(changed):
                    break
            else:
                pytest.fail(f"digit {at} may be anything")


def test_letters_count_too() -> None:
    assert checksums.dni("12345678Z")
    assert not checksums.dni("12345678A")
    assert checksums.dni("X1234567L")


def test_wallets() -> None:
    # The address of the first block, and two of the examples of BIP 173 and 350.
    assert checksums.base58check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")
    assert not checksums.base58check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb")
    for address in (
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    ):
        assert checksums.bech32(address)
        assert checksums.bech32(address.upper())
        assert not checksums.bech32(address[:-1] + "q")
