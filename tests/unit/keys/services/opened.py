"""Providers opened against the stand-ins, as the settings would open them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.unit.keys.services import azure, gcp
from tests.unit.keys.services.aws import REGION, AwsKmsServer
from tests.unit.keys.services.azure import AzureKeyVaultServer
from tests.unit.keys.services.gcp import GcpKmsServer
from tests.unit.keys.services.server import Key, KeyServer
from tests.unit.keys.services.transit import TransitServer

from tacita.config.reading import secrets_of
from tacita.keys.awskms import open_awskms
from tacita.keys.azurekv import open_azurekv
from tacita.keys.gcpkms import open_gcpkms
from tacita.keys.transit import open_transit
from tacita.ports.keys import KeyProvider

SERVERS: dict[str, Callable[[Path], KeyServer]] = {
    "awskms": AwsKmsServer,
    "gcpkms": GcpKmsServer,
    "azurekv": AzureKeyVaultServer,
    "vault": TransitServer,
}
VARIABLES = {
    "TEST_AWS_KEY": "synthetic-access-key",
    "TEST_AWS_SECRET": "synthetic-secret-key",
    "TEST_GCP_TOKEN": GcpKmsServer.token,
    "TEST_AZURE_SECRET": azure.SECRET,
    "TEST_VAULT_TOKEN": TransitServer.token,
}
"""What the URIs below refer to."""
_OPEN = {"awskms": open_awskms, "gcpkms": open_gcpkms, "azurekv": open_azurekv, "vault": open_transit}


def make(server: KeyServer, name: str, **more: str) -> Key:
    """A key of that name, unless there is one."""
    there = {
        "awskms": f"alias/{name}", "gcpkms": f"{gcp.RING}/{name}", "azurekv": name, "vault": name,
    }[scheme_of(server)]  # fmt: skip
    if isinstance(server, AwsKmsServer):
        return server.keys[server.aliases[there]] if there in server.aliases else server.make(there)
    return server.keys[there] if there in server.keys else server.make(name, **more)  # type: ignore[attr-defined,no-any-return]


def scheme_of(server: KeyServer) -> str:
    return next(name for name, kind in SERVERS.items() if type(server) is kind)


def uri(server: KeyServer, name: str, options: str = "") -> str:
    """The address of a key on a server. A time-out that a slow answer exceeds, and few tries."""
    base = {
        "awskms": f"awskms:alias/{name}@{server.url}?region={REGION}&key=env:TEST_AWS_KEY&secret=env:TEST_AWS_SECRET",
        "gcpkms": f"gcpkms:{gcp.RING}/{name}@{server.url}?token=env:TEST_GCP_TOKEN",
        "azurekv": f"azurekv:{server.url}/keys/{name}?tenant={azure.TENANT}&client={azure.CLIENT}"
        f"&secret=env:TEST_AZURE_SECRET&authority={server.url}&ca={server.ca}",
        "vault": f"vault:transit/keys/{name}@{server.url}?token=env:TEST_VAULT_TOKEN",
    }[scheme_of(server)]
    # An option is given once: what the caller says of the time-out goes before ours.
    patience = "" if "timeout=" in options else "&timeout=1"
    return f"{base}{patience}&attempts=2{options}"


def opened(server: KeyServer, name: str, options: str = "") -> KeyProvider:
    """The provider of a key on a server."""
    address = uri(server, name, options)
    return partial(_OPEN[scheme_of(server)], address, secrets_of(address))()
