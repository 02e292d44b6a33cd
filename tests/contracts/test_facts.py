"""Facts survive the wire, unknown attributes included; what is no fact is refused without being repeated."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.facts import (
    MAX_FACT_BYTES,
    SAGA_DATA,
    STEP_DATA,
    Fact,
    FactKind,
    SagaStarted,
    StepCompleted,
    data_model,
    state_fact,
)
from contracts.failure import InvalidContract
from contracts.ids import fact_id, new_saga_id
from contracts.subjects import SAGA_STEP

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner, max_size=3)
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)


def fact(
    data: BaseModel, *, step: str = "a", kind: str = FactKind.COMPLETED, about: Fact | None = None
) -> Fact:
    saga_id = about.sagaid if about else new_saga_id()
    stated = state_fact(
        about=about, definition="test@1", saga_id=saga_id, step=step, kind=kind, data=data, source="/test",
        time=NOW, fact_id=fact_id(saga_id, step, kind),
    )  # fmt: skip
    return Fact.decode(stated.encode())


@settings(deadline=None)
@given(output=OBJECTS)
def test_a_fact_survives_the_wire(output: dict[str, Any]) -> None:
    stated = fact(StepCompleted(output=output))
    heard = Fact.decode(stated.encode())
    assert heard == stated
    assert heard.key == ("a", "completed")
    assert StepCompleted.model_validate(heard.data).output == output


def test_a_fact_is_a_cloud_event() -> None:
    attributes = fact(SagaStarted(input={}), step=SAGA_STEP, kind=FactKind.STARTED).model_dump(mode="json")
    assert {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"} <= set(
        attributes
    )
    assert attributes["specversion"] == "1.0"
    assert attributes["type"] == "saga.started"
    assert all(name.isalnum() and name.islower() for name in attributes)


def test_a_fact_knows_what_caused_it() -> None:
    first = fact(SagaStarted(input={}), step=SAGA_STEP, kind=FactKind.STARTED)
    second = fact(StepCompleted(output={}), about=first)
    assert second.causationid == first.id
    assert second.correlationid == first.correlationid == first.sagaid


def test_attributes_of_a_newer_version_are_let_pass() -> None:
    stated = fact(StepCompleted(output={}))
    payload = stated.encode().replace(b'{"specversion"', b'{"newer":1,"specversion"')
    assert Fact.decode(payload) == stated


@settings(deadline=None)
@given(payload=st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_a_fact_or_refused(payload: bytes) -> None:
    with pytest.raises(InvalidContract, match="not a fact"):
        Fact.decode(payload)


def test_a_refusal_does_not_repeat_the_payload() -> None:
    with pytest.raises(InvalidContract) as caught:
        Fact.decode(b'{"id": {"secret": "4711"}}')
    assert "4711" not in str(caught.value)
    assert "/id" in str(caught.value)


def test_a_time_without_a_zone_is_refused() -> None:
    payload = fact(StepCompleted(output={})).encode().replace(b"2030-01-02T03:04:05Z", b"2030-01-02T03:04:05")
    with pytest.raises(InvalidContract, match="/time"):
        Fact.decode(payload)


def test_a_fact_that_is_too_large_is_refused_on_both_sides() -> None:
    small = fact(StepCompleted(output={}))
    large = small.model_copy(update={"data": {"output": {"x": "y" * MAX_FACT_BYTES}}})
    with pytest.raises(InvalidContract, match="larger than the limit"):
        large.encode()
    with pytest.raises(InvalidContract, match="larger than the limit"):
        Fact.decode(b" " * (MAX_FACT_BYTES + 1))


def test_every_kind_has_its_data() -> None:
    for step, known in ((SAGA_STEP, SAGA_DATA), ("a", STEP_DATA)):
        for kind, model in known.items():
            assert data_model(step, kind) is model
    assert set(SAGA_DATA) | set(STEP_DATA) == set(FactKind)


@pytest.mark.parametrize(("step", "kind"), [(SAGA_STEP, "skipped"), ("a", "aborted"), ("a", "surprised")])
def test_a_fact_the_design_does_not_know_is_refused(step: str, kind: str) -> None:
    with pytest.raises(InvalidContract, match="no fact"):
        data_model(step, kind)
