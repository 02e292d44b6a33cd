"""Redaction: what must not leave a step is taken out of what hooks see. Secrets by the names of their fields, and
secrets and personal data by the look of the text. What is taken out is said so (`[redacted: email]`)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_SECRET_FIELD = re.compile(
    r"(?i)(^|[_-])(pass(word|phrase|wd)?|secret|token|authorization|cookie|credentials?|pin|cvv|otp|ssn"
    r"|(api|access|private|signing|client)[_-]?key)s?($|[_-])"
)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "private key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    ),
    ("token", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{16,})")),
    ("url password", re.compile(r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)")),
    ("email", re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+\b")),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b")),
    ("card", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")),
    ("phone", re.compile(r"(?<![\w.])\+\d(?:[ ()-]?\d){7,14}(?!\w)")),
)
_MAX_DEPTH = 32
_MAX_TEXT = 64 * 1024

type Fields = Callable[[str], bool]


def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret, as far as names tell."""
    return bool(_SECRET_FIELD.search(_snake(name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Redactor:
    """`redactor(data)` is a copy of JSON data without secrets and personal data; `fields` names more to take out."""

    fields: frozenset[str] = field(default_factory=frozenset)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self._value(key, value, 0) for key, value in data.items()}

    def text(self, text: str) -> str:
        """A text without what looks like a secret or personal data."""
        if len(text) > _MAX_TEXT:
            return f"[redacted: {len(text)} characters]"
        for kind, pattern in _PATTERNS:
            text = pattern.sub(lambda match, kind=kind: _replaced(kind, match[0]), text)  # type: ignore[misc]
        return text

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if value not in (None, "") and (name in self.fields or is_secret(name)):
            return "[redacted]"
        match value:
            case _ if depth >= _MAX_DEPTH:
                return "[redacted: too deep]"
            case dict():
                return {self.text(key): self._value(key, item, depth + 1) for key, item in value.items()}
            case list() | tuple():
                return [self._value("", item, depth + 1) for item in value]
            case str():
                return self.text(value)
            case _:
                return value


def _replaced(kind: str, text: str) -> str:
    if kind == "card" and not _luhn([int(digit) for digit in text if digit.isdigit()]):
        return text
    return f"[redacted: {kind}]"


def _luhn(digits: list[int]) -> bool:
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
