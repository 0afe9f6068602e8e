"""The AWS KMS key provider: a symmetric key that never leaves KMS; tenant and vault are its encryption context."""

from __future__ import annotations

import base64
import os
from typing import Any, Final

from tacita.keys._remote import RemoteProvider
from tacita.patience import Transient
from tacita.patterns import lazy_pattern
from tacita.ports.keys import KeyContext

_PLAIN: Final = lazy_pattern(r"[A-Za-z0-9._:/=@-]{1,128}")
_BUSY: Final = frozenset(
    {
        "ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException", "RequestLimitExceeded",
        "DependencyTimeoutException", "KMSInternalException", "InternalFailure", "InternalError", "ServiceUnavailable",
        # Documented as "try again"; not to be confused with our own error of that name.
        "KeyUnavailableException",
    }
)  # fmt: skip
_WRONG: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_SAID: Final = {
    "NotFoundException": "there is no such key",
    "DisabledException": "the key is disabled",
    "KMSInvalidStateException": "the key is being deleted, or has no key material",
    "AccessDeniedException": "access to the key was denied",
    "InvalidGrantTokenException": "the grant token is not valid",
    "InvalidKeyUsageException": "the key is not for encryption",
}


class AwsKms(RemoteProvider):
    """`awskms:alias/NAME?region=R&key=env:A&secret=env:B[&token=env:C]`, or `credentials=default` for the SDK's own chain."""

    extra = "awskms"

    def _connect(self) -> None:
        import boto3
        from botocore.config import Config

        options = self._uri.options
        if options.get("credentials", "default") != "default":
            raise self._unfit("credentials=default, or key=env:NAME&secret=env:NAME")
        by_sdk = "credentials" in options
        if by_sdk == bool({"key", "secret"} & options.keys()):
            raise self._unfit("say whose key is used: key=env:NAME&secret=env:NAME, or credentials=default")
        settings = Config(
            connect_timeout=self._timeout,
            read_timeout=self._timeout,
            retries={"total_max_attempts": 1},
            proxies={},
            # All named, or a variable of the environment would decide.
            signature_version="v4",
            ignore_configured_endpoint_urls=True,
            use_fips_endpoint=False,
            use_dualstack_endpoint=False,
        )
        session = (
            boto3.Session(region_name=options["region"])
            if by_sdk
            else boto3.Session(
                aws_access_key_id=self._secret("key").reveal(),
                aws_secret_access_key=self._secret("secret").reveal(),
                aws_session_token=self._secret("token").reveal() if "token" in options else None,
                region_name=options["region"],
                botocore_session=_without_profile(),
            )
        )
        self._client: Any = session.client(
            "kms", endpoint_url=self._uri.url, config=settings, verify=self._uri.ca or True
        )
        self._grants = [self._secret("grant").reveal()] if "grant" in options else []

    def _identified(self) -> str:
        found = self._client.describe_key(KeyId=self._uri.name, GrantTokens=self._grants)["KeyMetadata"]
        if found["KeyState"] != "Enabled":
            raise self._refused(f"the key is not enabled but {str(found['KeyState'])[:32]}")
        if found.get("KeySpec", found.get("CustomerMasterKeySpec")) != "SYMMETRIC_DEFAULT":
            raise self._unfit("the key must be symmetric, for encryption (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT)")
        self._arn: str = found["Arn"]
        if ":key/" in self._uri.name and self._arn != self._uri.name:
            raise self._other_key()
        return f"awskms:{self._arn}"

    def _wrap(self, material: bytes, context: KeyContext) -> bytes:
        # By the name in the settings: an alias that was pointed at another key is noticed here.
        answer = self._client.encrypt(
            KeyId=self._uri.name,
            Plaintext=material,
            EncryptionContext=encryption_context(context),
            GrantTokens=self._grants,
        )
        if answer["KeyId"] != self._arn:
            raise self._other_key()
        return bytes(answer["CiphertextBlob"])

    def _unwrap(self, blob: bytes, context: KeyContext) -> bytes:
        if len(blob) > 6_144:
            raise self._wrong()
        answer = self._client.decrypt(
            KeyId=self._arn,
            CiphertextBlob=blob,
            EncryptionContext=encryption_context(context),
            GrantTokens=self._grants,
        )
        if answer["KeyId"] != self._arn:
            raise self._other_key()
        return bytes(answer["Plaintext"])

    def _judged(self, error: BaseException) -> Exception:
        from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError, PartialCredentialsError

        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code in _WRONG:
                return self._wrong()
            if code in _BUSY:
                return Transient(f"is busy ({code})")
            if code in _SAID:
                return self._refused(_SAID[code])
            return self._by_status(status)
        if isinstance(error, HTTPClientError):
            return Transient(f"cannot be reached ({type(error).__name__})")
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return self._refused("no credentials were found")
        return Transient(f"gave no usable answer ({type(error).__name__[:64]})")

    def close(self) -> None:
        self._client.close()


def encryption_context(context: KeyContext) -> dict[str, str]:
    """What KMS authenticates and writes into CloudTrail. The tenant stands apart, so that a grant can name it."""
    tenant = context.tenant
    shown = tenant if _PLAIN.fullmatch(tenant) else "base64:" + base64.b64encode(tenant.encode()).decode()
    return {"tacita": base64.b64encode(context.encode()).decode(), "tacita-tenant": shown}


def _without_profile() -> Any:
    """A session that reads neither ~/.aws nor AWS_PROFILE: the URI says all."""
    from botocore.session import Session

    return Session(
        session_vars={
            "profile": (None, [], None, None),
            "config_file": (None, [], os.devnull, None),
            "credentials_file": (None, [], os.devnull, None),
        }
    )


def open_awskms(uri: str, secret: Any) -> AwsKms:
    """The provider of a URI. Raises ConfigError, KeyUnavailable."""
    return AwsKms(uri, secret)
