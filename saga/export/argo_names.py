"""Names as Kubernetes wants them (RFC 1123 labels): small letters, digits, dashes; each means one thing."""

import hashlib
import re

_MAX = 63
_DIGITS = 6


class Names:
    """Gives the same name to the same thing, and different names to different things."""

    def __init__(self) -> None:
        self._owner: dict[str, object] = {}

    def of(self, text: str, of: object = None) -> str:
        """A name like the text, for `of` (the text itself, unless told otherwise)."""
        owner = text if of is None else of
        name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        if len(name) > _MAX - 10 or self._owner.get(name, owner) != owner:
            digits = hashlib.sha256(repr(owner).encode()).hexdigest()[:_DIGITS]
            name = f"{name[: _MAX - 10 - _DIGITS - 1].strip('-')}-{digits}"
        self._owner[name] = owner
        return name
