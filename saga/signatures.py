"""Signatures of webhooks, by Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.

A secret is `whsec_` and the key in base64; with several secrets there are several signatures, of which one must fit.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from contracts.failure import SagaError

_PREFIX = "whsec_"
_VERSION = "v1,"


class InvalidSecret(SagaError):
    """There is no key in the secret."""

    code = "secret.unusable"


class InvalidSignature(SagaError):
    """None of the signatures was made with one of the secrets, or the time is not now."""

    code = "webhook.signature_invalid"


def signatures(webhook_id: str, timestamp_s: int, body: bytes, secrets: Sequence[str]) -> str:
    """The value of `webhook-signature`: one signature for each secret. Raises InvalidSecret."""
    signed = f"{webhook_id}.{timestamp_s}.".encode() + body
    return " ".join(f"{_VERSION}{_signature(signed, secret)}" for secret in secrets)


def check_signature(
    webhook_id: str, timestamp_s: int, body: bytes, given: str, secrets: Sequence[str]
) -> None:
    """Raises InvalidSignature if none of the given signatures is one of ours, InvalidSecret."""
    ours = signatures(webhook_id, timestamp_s, body, secrets).split(" ")
    offered = [one.encode() for one in given.split(" ") if one.startswith(_VERSION)]
    # Every pair is compared, so that the time it takes tells nothing.
    fits = [hmac.compare_digest(one, our.encode()) for one in offered for our in ours]
    if not any(fits):
        raise InvalidSignature("none of the signatures fits: sign <id>.<timestamp>.<body> with the secret")


def _signature(signed: bytes, secret: str) -> str:
    try:
        text = secret.removeprefix(_PREFIX)
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise InvalidSecret("a webhook secret is whsec_ and base64") from error
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
