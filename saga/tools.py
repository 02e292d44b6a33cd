"""Plain functions and methods as actions: `@register` makes the input's model of the signature.

    @register("mail.search", category="evidence")
    async def search(query: str, limit: int = 20) -> MailFound: ...

The function stays what it was, to be called and tested as such. What is no model as an answer becomes the field
`result` of one. A function that is not async runs in a thread. A parameter annotated `ActionContext` gets the
context and is no part of the input. Such an action has no database of ours: an attempt may be repeated after a crash.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from contracts.failure import InvalidContract
from contracts.policies import NO_POLICY, Policy
from saga.action import About, Action, ActionContext
from saga.declared import declare

type ToolUndo = Callable[[Any, Any], Awaitable[None]]
"""Undoes: gets the input's model, and the output's or None where it is not known"""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def register[Tool: Callable[..., Any]](
    name: str,
    *,
    undo: ToolUndo | None = None,
    version: str = "1",
    category: str = "",
    permissions: tuple[str, ...] = (),
    examples: tuple[Mapping[str, Any], ...] = (),
    reads_only: bool = False,
    policy: Policy = NO_POLICY,
) -> Callable[[Tool], Tool]:
    """Enter a function or a bound method into the registry as the action `name` (`<domain>.<verb_phrase>`).

    `reads_only`: it has no effect, so a dry run runs it as it is.
    Raises InvalidContract if a parameter has no annotation or cannot be given by name.
    """
    about = About(
        version=version, category=category, permissions=permissions, examples=examples, reads_only=reads_only,
        policy=policy,
    )  # fmt: skip

    def entered(function: Tool) -> Tool:
        made = _action(name, function, about)
        if undo is not None:
            made.compensation(_undo(undo))
        declare(made)
        return function

    return entered


def _action(name: str, function: Callable[..., Any], about: About) -> Action:
    hints = get_type_hints(function)
    signature = inspect.signature(function)
    contexts = [key for key in signature.parameters if hints.get(key) is ActionContext]
    title = "".join(part.title() for part in name.rpartition(".")[2].split("_"))
    input_model = _input(name, f"{title}Input", signature, hints)
    returned: Any = hints.get("return", Any)
    wraps = not (isinstance(returned, type) and issubclass(returned, BaseModel))
    output_model: Any = create_model(f"{title}Output", result=(returned, ...)) if wraps else returned
    is_async = inspect.iscoroutinefunction(function)

    async def handler(ctx: ActionContext, command: Any) -> Any:
        given = {field: getattr(command, field) for field in type(command).model_fields}
        given |= dict.fromkeys(contexts, ctx)
        answer = await (function(**given) if is_async else asyncio.to_thread(function, **given))
        return output_model(result=answer) if wraps else answer

    handler.__annotations__ = {"ctx": ActionContext, "command": input_model, "return": output_model}
    handler.__doc__ = inspect.getdoc(function)
    handler.__name__ = getattr(function, "__name__", name)
    return Action(name, handler, database=None, external=False, guard=False, resource=None, about=about)


def _input(name: str, title: str, signature: inspect.Signature, hints: Mapping[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for key, parameter in signature.parameters.items():
        if key not in hints or parameter.kind not in _NAMED:
            raise InvalidContract(
                f"action {name}: parameter {key!r} needs an annotation, and must be one that is given by name"
            )
        if hints[key] is not ActionContext:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[key] = (hints[key], default)
    model: type[BaseModel] = create_model(title, __config__=ConfigDict(extra="forbid", frozen=True), **fields)
    return model


def _undo(undo: ToolUndo) -> Callable[[ActionContext, Any, Any], Awaitable[None]]:
    async def undoing(ctx: ActionContext, command: Any, output: Any) -> None:
        await undo(command, output)

    return undoing
