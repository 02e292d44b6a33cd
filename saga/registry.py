"""The registry: every action there is, by name. Contracts are read first, code is loaded when it is to run.

Three sources, one view: what the domains promise (`contracts.<domain>`, loaded when a domain is asked for), what
this process has declared by `@action` and `@register`, and the step modules behind a promise (`implementation`).
"""

from collections.abc import Iterable, Sequence

from contracts.actions import DOMAINS, ActionContract
from contracts.actions import domain_actions as promised
from contracts.checks import contract_of
from contracts.failure import NotFound
from saga.action import Action
from saga.declared import declared
from saga.domains import domain_actions

_SIMILAR = 60.0
_SUGGESTIONS = 3


def find(name: str) -> ActionContract | None:
    """The contract of an action by its full name; None if nothing is known of it here."""
    if contract := contract_of(name):
        return contract
    own = declared().get(name)
    return own.contract if own else None


def resolve(name: str, domain: str = "") -> ActionContract:
    """The contract of an action by its full name, or by its last part where that names one action only.

    `domain` is looked into first. Raises NotFound, with those that come nearest or between which to choose.
    """
    if contract := find(name) or (find(f"{domain}.{name}") if domain else None):
        return contract
    known = every()
    meant = [contract for contract in known if contract.name.endswith(f".{name}")]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise NotFound(f"{name!r} may be {', '.join(one.name for one in meant)}: write the whole name")
    near = ", ".join(_near(name, [contract.name for contract in known]))
    raise NotFound(f"no action {name!r}{f': is it {near}?' if near else ''}")


def every(domain: str = "", category: str = "") -> list[ActionContract]:
    """All actions, by name; of one domain or category if given. Raises NotFound if nothing is of that domain."""
    own = [action.contract for name, action in declared().items() if contract_of(name) is None]
    known = domain in DOMAINS
    if domain and not known and not any(contract.domain == domain for contract in own):
        raise NotFound(f"no actions of domain {domain!r}: there are {', '.join(_domains(own))}")
    domains: Sequence[str] = [domain] if known else DOMAINS if not domain else []
    found = [contract for one in domains for contract in promised(one)]
    found += [contract for contract in own if domain in ("", contract.domain)]
    return sorted((one for one in found if category in ("", one.category)), key=lambda one: one.name)


def search(text: str, among: Iterable[ActionContract] | None = None) -> list[ActionContract]:
    """Actions that have every word of the text in their name, category or description, best first."""
    words = text.lower().split()
    ranked = []
    for contract in every() if among is None else among:
        name, rest = contract.name.lower(), f"{contract.category} {contract.description}".lower()
        if all(word in name or word in rest for word in words):
            ranked.append((-sum(word in name for word in words), contract.name, contract))
    return [contract for _, _, contract in sorted(ranked, key=lambda one: one[:2])]


def implementation(name: str) -> Action:
    """The action itself; its domain's step modules are loaded for it. Raises NotFound, InvalidContract."""
    if own := declared().get(name):
        return own
    domain = name.partition(".")[0]
    offered = {action.name: action for action in domain_actions(domain)} if domain in DOMAINS else {}
    if name not in offered:
        raise NotFound(f"no action {name!r} is declared in this process: import the module that has it")
    return offered[name]


def _domains(own: Iterable[ActionContract]) -> list[str]:
    return sorted({*DOMAINS, *(contract.domain for contract in own)})


def _near(name: str, names: Sequence[str]) -> list[str]:
    from rapidfuzz import process

    found = process.extract(name, names, limit=_SUGGESTIONS, score_cutoff=_SIMILAR)
    return [match[0] for match in found]
