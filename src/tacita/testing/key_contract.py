"""What every key provider must do. Subclass `KeyProviderContract`, say how to open yours, and run pytest."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tacita.errors import KeyUnavailable, WrongKey
from tacita.hazmat import SecretKey
from tacita.ports.keys import KeyContext, KeyProvider

CONTEXT = KeyContext("acme", b"v" * 32, 1)
OTHERS = (
    replace(CONTEXT, tenant="acmf"),
    replace(CONTEXT, tenant="acme\0"),
    replace(CONTEXT, vault_id=b"w" * 32),
    replace(CONTEXT, version=2),
)


class KeyProviderContract:
    """The promises of `KeyProvider`."""

    def make(self, folder: Path) -> KeyProvider:
        """Open the provider of `folder`, with a root key of its own; called again for the same folder to open it anew."""
        raise NotImplementedError

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Iterator[KeyProvider]:
        opened = self.make(tmp_path / "one")
        yield opened
        opened.close()

    def test_what_is_wrapped_comes_back(self, provider: KeyProvider) -> None:
        key = SecretKey.generate()
        blob = provider.wrap(key, CONTEXT)
        assert type(blob) is bytes
        assert provider.unwrap(blob, CONTEXT).equals(key)

    def test_two_wrappings_of_one_key_have_nothing_in_common(self, provider: KeyProvider) -> None:
        """But for what all wrappings have: a name of the root key."""
        key = SecretKey.generate()
        one, other = provider.wrap(key, CONTEXT), provider.wrap(key, CONTEXT)
        header = _windows(provider.wrap(SecretKey.generate(), replace(CONTEXT, version=7)))
        assert not (_windows(one) & _windows(other)) - header

    def test_a_wrapped_key_is_not_in_the_clear(self, provider: KeyProvider) -> None:
        key = SecretKey.generate()
        material = key.reveal_for_storage()
        blob = provider.wrap(key, CONTEXT)
        assert not any(material[at : at + 6] in blob for at in range(len(material) - 5))

    @pytest.mark.parametrize("other", OTHERS, ids=["tenant", "longer tenant", "vault", "version"])
    def test_it_opens_in_its_own_context_only(self, provider: KeyProvider, other: KeyContext) -> None:
        blob = provider.wrap(SecretKey.generate(), CONTEXT)
        with pytest.raises(WrongKey):
            provider.unwrap(blob, other)

    def test_changed_and_cut_blobs_are_refused(self, provider: KeyProvider) -> None:
        blob = provider.wrap(SecretKey.generate(), CONTEXT)
        changed = [blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(0, len(blob), 7)]
        for bad in [*changed, blob[:-1], blob[: len(blob) // 2], blob + b"\0", b""]:
            with pytest.raises(WrongKey):
                provider.unwrap(bad, CONTEXT)

    def test_another_root_key_opens_nothing(self, provider: KeyProvider, tmp_path: Path) -> None:
        other = self.make(tmp_path / "other")
        assert other.id != provider.id
        with pytest.raises((WrongKey, KeyUnavailable)):
            other.unwrap(provider.wrap(SecretKey.generate(), CONTEXT), CONTEXT)
        other.close()

    def test_opened_anew_it_is_the_same_provider(self, provider: KeyProvider, tmp_path: Path) -> None:
        key = SecretKey.generate()
        again = self.make(tmp_path / "one")
        assert again.id == provider.id
        assert again.unwrap(provider.wrap(key, CONTEXT), CONTEXT).equals(key)
        again.close()

    def test_it_names_itself_without_its_key(self, provider: KeyProvider) -> None:
        assert provider.id
        assert provider.where
        assert provider.id == provider.id.strip()
        key = SecretKey.generate()
        provider.unwrap(provider.wrap(key, CONTEXT), CONTEXT)
        shown = f"{provider!r} {provider.id} {provider.where}"
        assert key.reveal_for_storage().hex() not in shown

    def test_pieces_of_two_blobs_do_not_fit_together(self, provider: KeyProvider) -> None:
        one = provider.wrap(SecretKey.generate(), CONTEXT)
        other = provider.wrap(SecretKey.generate(), replace(CONTEXT, version=2))
        for at in range(len(one) // 6, len(one), len(one) // 6):
            mixed = one[:at] + other[at:]
            if mixed not in (one, other):
                for context in (CONTEXT, replace(CONTEXT, version=2)):
                    with pytest.raises(WrongKey):
                        provider.unwrap(mixed, context)

    def test_the_newest_version_of_the_root_key(self, provider: KeyProvider) -> None:
        key = SecretKey.generate()
        blob = provider.wrap(key, CONTEXT)
        renewed = provider.renewed(blob, CONTEXT)
        assert provider.unwrap(renewed, CONTEXT).equals(key)
        with pytest.raises(WrongKey):
            provider.unwrap(renewed, OTHERS[0])

    def test_it_says_who_is_contacted(self, provider: KeyProvider) -> None:
        assert bool(provider.hosts) == provider.elsewhere
        assert provider.of_tenant("acme") is provider

    def test_several_threads(self, provider: KeyProvider) -> None:
        def once(number: int) -> bool:
            key, context = SecretKey.generate(), replace(CONTEXT, version=number)
            return provider.unwrap(provider.wrap(key, context), context).equals(key)

        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(once, range(1, 41)))


def _windows(blob: bytes) -> set[bytes]:
    return {blob[at : at + 8] for at in range(len(blob) - 7)}
