"""The registry: one view of what is promised and what is declared; and plain functions as actions."""

import sys

import pytest
from pydantic import BaseModel

from contracts.failure import InvalidContract, NotFound
from saga import Client, Directives, Forbidden, Refused, WorkflowBuilder, action, register, registry
from saga.action import ActionContext
from tests.world import Running


class Mail(BaseModel):
    query: str


class Found(BaseModel):
    subjects: list[str]


@register("office.search_inbox", category="evidence", permissions=("mail:read",), examples=({"query": "x"},))
async def search_mail(query: str, limit: int = 20) -> Found:
    """Search the mailbox of the office."""
    return Found(subjects=[query][:limit])


class Drive:
    def __init__(self, root: str) -> None:
        self.root = root

    def list_files(self, folder: str, *, ctx: ActionContext) -> list[str]:
        return [f"{self.root}/{folder}/{ctx.step}"]


def test_promised_and_declared_actions_are_listed_together() -> None:
    names = [contract.name for contract in registry.every()]
    assert {"payments.create_payment", "office.search_inbox"} <= set(names)
    assert names == sorted(names)
    assert [one.name for one in registry.every("office", "evidence")] == ["office.search_inbox"]
    with pytest.raises(NotFound, match=r"there are .*office.*payments"):
        registry.every("kitchen")


def test_a_contract_tells_what_its_declaration_said() -> None:
    contract = registry.resolve("search_inbox")
    assert (contract.name, contract.domain, contract.category) == (
        "office.search_inbox", "office", "evidence",
    )  # fmt: skip
    assert contract.permissions == ("mail:read",)
    assert contract.description == "Search the mailbox of the office."
    assert set(contract.input.model_fields) == {"query", "limit"}


def test_a_search_finds_every_word_and_names_before_descriptions() -> None:
    assert registry.search("mailbox office")[0].name == "office.search_inbox"
    assert next(one.name for one in registry.search("payment")).startswith("payments.")
    assert not registry.search("mailbox unheard")


def test_a_name_that_is_none_is_answered_with_what_comes_near() -> None:
    with pytest.raises(NotFound, match=r"is it .*office\.search_inbox"):
        registry.resolve("serch_inbox")


def test_a_short_name_of_two_actions_must_be_written_whole() -> None:
    register("other.search_inbox")(search_mail)
    with pytest.raises(NotFound, match=r"office\.search_inbox, other\.search_inbox: write the whole name"):
        registry.resolve("search_inbox")
    assert registry.resolve("search_inbox", "other").name == "other.search_inbox"
    from saga.declared import _BY_NAME

    del _BY_NAME["other.search_inbox"]


def test_code_is_loaded_when_it_is_to_run_and_not_before() -> None:
    step = "services.payments.steps.create_payment"
    known = sys.modules.pop(step, None)
    try:
        assert registry.resolve("payments.create_payment").compensable
        assert step not in sys.modules
    finally:
        if known is not None:
            sys.modules[step] = known
    assert registry.implementation("payments.create_payment").name == "payments.create_payment"
    with pytest.raises(NotFound, match="import the module that has it"):
        registry.implementation("nobodys.action")


def test_a_function_must_say_what_it_takes() -> None:
    with pytest.raises(InvalidContract, match="parameter 'query' needs an annotation"):
        register("office.vague")(lambda query: query)


def test_an_example_must_be_an_input() -> None:
    async def search(ctx: ActionContext, command: Mail) -> Found:
        return Found(subjects=[])

    with pytest.raises(InvalidContract, match="example 1: /query: Field required"):
        action("office.exemplary", examples=({"qery": "x"},))(search)


async def test_functions_and_methods_run_as_steps(running: Running) -> None:
    undone: list[str] = []

    async def forget(command: BaseModel, output: BaseModel | None) -> None:
        undone.append(f"{command!r} {output!r}")

    drive = Drive("/disk")
    register("office.list_files", undo=forget)(drive.list_files)

    @register("office.refuse")
    def refuse() -> None:
        raise Refused("office.closed", "come tomorrow")

    names = ("search_inbox", "list_files", "refuse")
    builder = (
        WorkflowBuilder("evidence", domain="office")
        .add_step("search_inbox", params={"query": "from:a"})
        .add_step("list_files", params={"folder": "${steps.search_inbox.subjects[0]}"})
    )
    client = Client(running.bus, running.definitions)
    async with running.serving(*(registry.implementation(f"office.{name}") for name in names)):
        with pytest.raises(Forbidden, match="mail:read"):
            await client.start(builder.build())
        may = Directives(permissions=("mail:read",))
        good = await (await client.start(builder.build(), directives=may)).result(timeout_s=20)
        assert good.steps["search_inbox"].output == Found(subjects=["from:a"])
        assert good.steps["list_files"].output.result == ["/disk/from:a/list_files"]
        worse = builder.add_step("refuse").build()
        bad = await (await client.start(worse, directives=may)).result(timeout_s=20)
    assert (bad.status, bad.steps["list_files"].status) == ("compensated", "compensated")
    assert len(undone) == 1
    assert await search_mail("direct", limit=1) == Found(subjects=["direct"])
