"""Diagrams say what there is, can be read by what draws them, and no box lies on another."""

import re
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from contracts.definition import SagaDefinition, Step
from contracts.facts import Recorded
from contracts.retries import FixedRetry
from contracts.subjects import SAGA_STEP
from saga.diagrams.contract import contract_diagram
from saga.diagrams.dot import write_dot
from saga.diagrams.layout import lay_out
from saga.diagrams.mermaid import write_mermaid
from saga.diagrams.model import Arrow, Box, Diagram, Look
from saga.diagrams.path import path_diagram
from saga.diagrams.svg import write_svg
from saga.diagrams.topology import topology_diagram
from saga.discovery import discover
from saga.listening import Heard, Presence
from saga.simulate.corpus import definition
from saga.simulate.stream import simulated_fact
from saga.topology import consumers_for
from tests.saga.small import DIAMOND, actions
from tests.world import Running, World

SVG = "{http://www.w3.org/2000/svg}"
CONTRACT = SagaDefinition(
    name="shop",
    steps=(
        Step(name="a", action="t.take", retry=FixedRetry(max_attempts=3, delay_s=1)),
        Step(name="b", action="t.pay", after=("a",), pivot=True, when='input.kind == "a<b"'),
        Step(name="c", action="t.tell", after=("b",), on_error="continue"),
    ),
)
NAMES = st.sampled_from("abcdefgh")


@st.composite
def diagrams(draw: st.DrawFn) -> Diagram:
    """Any boxes and arrows, circles and arrows to itself among them."""
    ids = draw(st.lists(NAMES, min_size=1, unique=True))
    lines = st.lists(st.text("xyz ", max_size=30), min_size=1, max_size=4)
    arrows = draw(st.lists(st.builds(Arrow, st.sampled_from(ids), st.sampled_from(ids), back=st.booleans())))
    return Diagram("any", tuple(Box(one, tuple(draw(lines))) for one in ids), tuple(arrows))


@given(diagrams())
def test_no_box_lies_on_another_and_everything_is_inside(diagram: Diagram) -> None:
    layout = lay_out(diagram)
    assert [one.box for one in layout.boxes] == list(diagram.boxes)
    for one in layout.boxes:
        assert 0 <= one.x <= one.x + one.width <= layout.width
        assert 0 <= one.y <= one.y + one.height <= layout.height
        for other in layout.boxes:
            apart = (
                one.x + one.width < other.x or other.x + other.width < one.x
                or one.y + one.height < other.y or other.y + other.height < one.y
            )  # fmt: skip
            assert apart or one is other
    assert [route.arrow for route in layout.routes] == list(diagram.arrows)
    assert lay_out(diagram) == layout


@given(diagrams())
def test_every_picture_can_be_read_and_has_every_box_and_arrow(diagram: Diagram) -> None:
    root = ElementTree.fromstring(write_svg(diagram))
    arrows = [one for one in root.iter(f"{SVG}path") if one.get("class") == "arrow"]
    assert [(one.get("data-from"), one.get("data-to")) for one in arrows] == [
        (one.source, one.target) for one in diagram.arrows
    ]
    assert sum(one.get("class") == "box" for one in root.iter(f"{SVG}rect")) == len(diagram.boxes)
    assert len(re.findall(r"\n    n\d+ -", write_mermaid(diagram))) == len(diagram.arrows)
    assert write_dot(diagram).count(" -> ") == len(diagram.arrows)


def test_without_circles_every_arrow_leads_down() -> None:
    layout = lay_out(
        contract_diagram(definition("any", {"a": "", "b": "a", "c": "a b", "d": "", "e": "a c d"}), [])
    )
    for route in layout.routes:
        heights = [y for _, y in route.points]
        assert heights == sorted(heights)


def test_a_contract_shows_its_order_and_how_it_may_end() -> None:
    diagram = contract_diagram(CONTRACT, {"t.take"})
    assert [box.look for box in diagram.boxes] == [Look.START, Look.UNDOABLE, Look.PIVOT, Look.PLAIN]
    assert {(arrow.source, arrow.target) for arrow in diagram.arrows} == {
        (SAGA_STEP, "a"),
        ("a", "b"),
        ("b", "c"),
    }
    assert "up to 3 attempts" in diagram.boxes[1].lines
    assert "goes on if it fails" in diagram.boxes[3].lines


def test_what_people_write_cannot_break_a_picture() -> None:
    odd = Diagram('a "title" <&>\\', (Box('x"\\]--><', ('"<b>#`&\\', "")),), ())
    assert ElementTree.fromstring(write_svg(odd)).find(f"{SVG}title") is not None
    assert 'n0["#quot;#lt;b#gt;#35;#96;#amp;\\<br/>"]' in write_mermaid(odd)
    assert r'"x\"\\]--><" [label="\"<b>#`&\\\n"' in write_dot(odd)


def told(of: SagaDefinition, *said: str) -> list[Recorded]:
    facts = []
    for sequence, text in enumerate(said, 1):
        name, _, effect = text.partition("/")
        step, _, kind = name.rpartition(".")
        fact = simulated_fact(of.ref, step or SAGA_STEP, kind, effect)
        data = fact.data | ({"cause": "step", "step": "c"} if kind == "aborted" else {})
        at = fact.time + timedelta(milliseconds=sequence)
        facts.append(Recorded(sequence, fact.model_copy(update={"time": at, "data": data})))
    return facts


def test_a_path_shows_where_the_saga_turned_round_and_in_which_order_it_was_undone() -> None:
    join = definition("join", {"a": "", "b": "", "c": "a b", "d": "c"})
    diagram = path_diagram(
        join,
        told(join, "started", "a.started", "b.started", "a.completed", "b.completed", "c.started",
             "c.failed/none", "aborted", "c.stood_down", "b.compensated", "a.compensated"),
    )  # fmt: skip
    boxes = {box.id: box for box in diagram.boxes}
    assert boxes[SAGA_STEP].lines[-1] == "compensated"
    assert boxes["b"].look is Look.UNDONE
    assert boxes["b"].lines[-1] == "closed as number 2, +9.0 ms"
    assert boxes["d"].look is Look.IDLE
    assert boxes["_abort"].lines[0] == "aborted: step c"
    back = [(arrow.source, arrow.target) for arrow in diagram.arrows if arrow.back]
    assert sorted(back) == [("c", "a"), ("c", "b")]
    assert Arrow("c", "_abort") in diagram.arrows


def test_the_map_joins_who_states_a_fact_with_who_hears_it() -> None:
    heard = [
        Heard("t.take", "shop", "_saga", "started"),
        Heard("t.pay", "shop", "a", "completed"),
        Heard("t.take", "shop", "b", "compensated"),
        Heard("t.take", "shop", "_saga", "aborted"),
        Heard("t.pay", "gone", "a", "completed"),
        Heard("t.pay", "shop", "b", "woken"),
    ]
    diagram = topology_diagram(heard, [CONTRACT], {"t.pay": Presence(alive=True, pending=2)}, "all")
    assert set(diagram.arrows) == {
        Arrow(SAGA_STEP, "t.take", "shop"),
        Arrow("t.take", "t.pay", "shop"),
        Arrow("t.pay", "t.take", "shop", back=True),
    }
    looks = {box.id: (box.look, box.lines[1:]) for box in diagram.boxes[1:]}
    assert looks["t.pay"] == (Look.DONE, ("2 waiting, 0 in flight",))
    assert looks["t.take"] == (Look.FAILED, ("nobody listens, 0 waiting, 0 in flight",))


async def test_the_bus_tells_who_listens_to_what_and_who_is_away(
    running: Running, world: World, data: Path
) -> None:
    await running.publish(DIAMOND)
    async with running.serving(*actions(world, "a", "b", "c")):
        while not (await discover(running.bus, [DIAMOND])).present["test.a"].alive:
            """Its request for work is on the way."""
        found = await discover(running.bus, [DIAMOND])
    wanted = {
        Heard(spec.action, *parts)
        for spec in consumers_for(running.bus, [DIAMOND])
        for subject in spec.filters
        for parts in [tuple(subject.split(".")[-4:-1])]
    }
    assert set(found.heard) == wanted
    assert {action: there.alive for action, there in found.present.items()}["test.d"] is False
