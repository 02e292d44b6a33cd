"""The hooks that are shipped: redaction, sessions, metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from contracts.definition import SagaDefinition, Step
from contracts.directives import Directives
from events.sessions import SessionBucket
from saga import Client
from saga.hooks.metrics import METRICS
from saga.hooks.redaction import Redactor, is_secret
from saga.hooks.session import open_sessions
from tests.world import Running, World


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("mail ann.lee+x@mail.example.co.uk now", "email"),
        ("call +254 712 123-456", "phone"),
        ("card 4111 1111 1111 1111", "card"),
        ("to DE89 3704 0044 0532 0130 00", "iban"),
        ("Authorization: Bearer abcdef123456abcdef", "token"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.abc", "token"),
        ("postgres://user:hunter2@host/db", "url password"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "private key"),
    ],
)
def test_what_looks_like_a_secret_or_a_person_is_taken_out(text: str, kind: str) -> None:
    assert f"[redacted: {kind}]" in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "INV-00168",
        "01a1fd31-bd32-7206-803c-08e04f4a2007",
        "2026-11-21T08:00:00Z",
        "4111 1111 1111 1112",
        "12.50",
        "basic information",
    ],
)
def test_what_only_resembles_one_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_secrets_are_known_by_the_names_of_their_fields() -> None:
    for name in (
        "password",
        "apiKey",
        "client_secret",
        "access-token",
        "Authorization",
        "card_pin",
        "tokens",
    ):
        assert is_secret(name), name
    for name in ("reference", "keyboard", "pinned", "tokenizer", "passenger", "monkey"):
        assert not is_secret(name), name
    redacted = Redactor(fields=frozenset({"diagnosis"}))(
        {"user": {"password": "x", "name": "Ann"}, "notes": ["a@b.example"], "diagnosis": "flu", "n": 1, "secret": None}
    )  # fmt: skip
    assert redacted == {
        "user": {"password": "[redacted]", "name": "Ann"}, "notes": ["[redacted: email]"],
        "diagnosis": "[redacted]", "n": 1, "secret": None,
    }  # fmt: skip


_TEXT = st.text(max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(_TEXT, _JSON, max_size=4))
def test_a_redaction_can_be_repeated_and_leaves_what_it_was_given(data: dict[str, object]) -> None:
    before = repr(data)
    once = Redactor()(data)
    assert Redactor()(once) == once
    assert repr(data) == before


async def test_a_session_is_opened_kept_active_and_counted(running: Running, world: World) -> None:
    definition = SagaDefinition(
        name="in-session", steps=(Step(name="a", action="test.a", input={"value": "${input.value}"}),)
    )
    client = Client(running.bus, running.definitions)
    bucket = SessionBucket(running.bus)
    async with running.serving(world.action("a"), hooks=[open_sessions, METRICS]):
        handles = [
            await client.start(
                definition, user_id="u_1", context={"value": n}, directives=Directives(session="s_1")
            )
            for n in range(5)
        ]
        handles.append(await client.start(definition, context={"value": 1}))
        for handle in handles:
            assert (await handle.result(timeout_s=20)).success
    record = await bucket.read("s_1")
    assert record is not None
    assert (record.user, record.attempts, record.failures) == ("u_1", 5, 0)
    assert set(record.sagas) == {handle.saga_id for handle in handles[:5]}
    assert record.opened_at <= record.active_at
    labels = {"action": "test.a", "stage": "post", "code": ""}
    assert (REGISTRY.get_sample_value("saga_step_attempts_total", labels) or 0) >= 6
