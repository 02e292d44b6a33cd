"""Which policy counts for an action, and for a step of it: looked up once, when a participant or a definition is new.

Policies are said at the action (`@action(policy=...)`, or its contract), for a domain (`contracts.<domain>.POLICY`, or
`domain_policy` for one of your own), and by the operator in a file (`SAGA_POLICIES`).
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from contracts.actions import DOMAINS, ActionContract
from contracts.definition import Step
from contracts.failure import InvalidContract, NotFound
from contracts.policies import (
    NO_POLICY,
    POLICY_FIELDS,
    Effective,
    Policies,
    Policy,
    Said,
    effective,
    step_policy,
)

_DOMAINS: dict[str, Policy] = {}


def domain_policy(domain: str, policy: Policy) -> None:
    """Say the policy of a domain of your own. Raises InvalidContract for one of ours, whose contracts say it."""
    if domain in DOMAINS:
        raise InvalidContract(f"the policy of {domain} stands in contracts.{domain}.POLICY")
    _DOMAINS[domain] = policy


def read_policies(file: Path | None) -> Policies:
    """The operator's policies: YAML or JSON; none without a file. Raises NotFound, InvalidContract."""
    if file is None:
        return Policies()
    try:
        return Policies.parse(yaml.safe_load(file.read_text()) or {})
    except OSError as error:
        raise NotFound(f"policies {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InvalidContract(f"policies {file}: neither YAML nor JSON: {error}") from error


def policy_of(contract: ActionContract, policies: Policies, step: Step | None = None) -> Effective:
    """The policy that counts for an action, or for one step of it."""
    said: list[Said] = []
    if step is not None:
        own: Mapping[str, Any] = {name: getattr(step, name) for name in POLICY_FIELDS - step.unsaid}
        said.append(("step", f"step {step.name}", step_policy(own)))
    said += [
        ("action", "operator's file", policies.actions.get(contract.name, NO_POLICY)),
        ("action", contract.name, contract.policy),
        ("action", contract.name, Policy(permissions=contract.permissions)),
        ("domain", "operator's file", policies.domains.get(contract.domain, NO_POLICY)),
        ("domain", contract.domain, _of_domain(contract.domain)),
    ]
    return effective(said)


def as_run(step: Step, contract: ActionContract, policies: Policies) -> Step:
    """The step with what its policy says of it."""
    policy = policy_of(contract, policies, step).policy
    return step.model_copy(update={name: getattr(policy, name) for name in POLICY_FIELDS})


def _of_domain(domain: str) -> Policy:
    if domain in DOMAINS:
        found: Policy = getattr(import_module(f"contracts.{domain}"), "POLICY", NO_POLICY)
        return found
    return _DOMAINS.get(domain, NO_POLICY)
