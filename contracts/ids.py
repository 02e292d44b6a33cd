"""Where ids come from: saga ids are UUIDv7, fact ids are derived so that a repeat is the same fact."""

import sys
import uuid

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils.compat import uuid7

_KEY_NAMESPACE = uuid.UUID("6f0d9a52-3c51-5f0b-9d55-1d1c54a3a2c1")


def new_saga_id() -> str:
    """A new saga id: UUIDv7, so ids sort by the time of their creation."""
    return str(uuid7())


def saga_id_for(idempotency_key: str) -> str:
    """The saga id that belongs to a caller's idempotency key (RFC 9562 version 5).

    The same key gives the same id in every process and for ever, so a repeated start finds the
    first one's subject taken, without a table of keys.
    """
    return str(uuid.uuid5(_KEY_NAMESPACE, idempotency_key))


def fact_id(saga_id: str, step: str, kind: str, discriminator: str = "") -> str:
    """The id of a fact, which is also its `Nats-Msg-Id`.

    `discriminator` tells facts of one kind apart where a step may state several (the attempt).
    """
    suffix = f".{discriminator}" if discriminator else ""
    return f"{saga_id}.{step}.{kind}{suffix}"
