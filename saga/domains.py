"""Finding a domain's services by name. `services.<domain>` says which step modules and definitions it has.

By import at run time, because nothing in this package may depend on a domain.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from contracts.actions import DOMAINS
from contracts.definition import SagaDefinition
from contracts.failure import InvalidContract, NotFound
from saga.action import Action, Environment
from saga.service import ServiceSettings
from saga.workflows.templates import Template, read_template

type DomainApi = Callable[[ServiceSettings, Environment], AbstractAsyncContextManager[Sequence[Any]]]
"""Opens what a domain answers over HTTP itself, as FastAPI routers"""


def known_domain(domain: str) -> str:
    """The name itself. Raises NotFound if there is no such domain."""
    if domain not in DOMAINS:
        raise NotFound(f"no domain {domain!r}: there are {', '.join(DOMAINS)}")
    return domain


def domain_actions(domain: str) -> list[Action]:
    """The actions of a domain's step modules. Raises NotFound, or InvalidContract if they break their contract."""
    package = import_module(f"services.{known_domain(domain)}")
    actions = [
        value
        for module in package.STEP_MODULES
        for value in vars(import_module(module)).values()
        if isinstance(value, Action)
    ]
    _compare(domain, actions)
    return actions


def domain_definitions(domain: str) -> tuple[SagaDefinition, ...]:
    """The definitions a domain ships. Raises NotFound."""
    definitions: tuple[SagaDefinition, ...] = import_module(
        f"services.{known_domain(domain)}.definitions"
    ).DEFINITIONS
    return definitions


def shipped_definitions() -> list[SagaDefinition]:
    """The definitions of all domains."""
    return [found for domain in DOMAINS for found in domain_definitions(domain)]


def domain_customized(domain: str, config: Mapping[str, Any]) -> tuple[SagaDefinition, tuple[str, ...]]:
    """A definition made from a domain's configuration, and warnings for its author.

    Raises NotFound (no such domain, or it has nothing to customize), InvalidContract with pointers.
    """
    name = f"services.{known_domain(domain)}.customizing"
    if find_spec(name) is None:
        raise NotFound(f"domain {domain} has no definitions to customize")
    customized = import_module(name).customize(config)
    if customized.definition is None:
        problems = "; ".join(f"{problem.pointer}: {problem.detail}" for problem in customized.problems)
        raise InvalidContract(f"configuration for {domain}: {problems}")
    return customized.definition, customized.warnings


def domain_api(domain: str) -> DomainApi | None:
    """What a domain answers over HTTP itself (`services.<domain>.api`); None if it has nothing. Raises NotFound."""
    name = f"services.{known_domain(domain)}.api"
    if find_spec(name) is None:
        return None
    opened: DomainApi = import_module(name).open_api
    return opened


def domain_templates(domain: str) -> tuple[Template, ...]:
    """The templates of workflows a domain ships (`services/<domain>/templates`). Raises NotFound, InvalidContract."""
    folder = files(f"services.{known_domain(domain)}") / "templates"
    if not folder.is_dir():
        return ()
    found = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name
    )
    return tuple(read_template(file.read_bytes(), f"{domain}/templates/{file.name}") for file in found)


@cache
def known_templates() -> Mapping[str, Template]:
    """The templates of all domains, by name. Raises InvalidContract if two have the same one."""
    found: dict[str, Template] = {}
    for domain in DOMAINS:
        for template in domain_templates(domain):
            if template.name in found:
                raise InvalidContract(
                    f"two templates are named {template.name}: that of {domain} is the second"
                )
            found[template.name] = template
    return MappingProxyType(found)


def _compare(domain: str, actions: list[Action]) -> None:
    promised = {contract.name: contract for contract in import_module(f"contracts.{domain}").ACTIONS}
    offered = {action.name: action for action in actions}
    problems = [f"{name} is promised but not offered" for name in promised.keys() - offered.keys()]
    problems += [f"{name} is offered but not promised" for name in offered.keys() - promised.keys()]
    for name in promised.keys() & offered.keys():
        contract, action = promised[name], offered[name]
        if (action.input, action.output) != (contract.input, contract.output):
            problems.append(f"{name} has other types than its contract")
        if set(action.emits) != set(contract.emits):
            problems.append(f"{name} emits other events than its contract")
        if action.compensable != contract.compensable:
            problems.append(f"{name}: the contract says compensable={contract.compensable}")
        if action.about.reads_only != contract.reads_only:
            problems.append(f"{name}: the contract says reads_only={contract.reads_only}")
    if problems:
        raise InvalidContract(f"domain {domain}: {'; '.join(sorted(problems))}")
