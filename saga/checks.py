"""A definition that somebody sends, judged before it is published: also what only the engines can tell."""

from contracts.checks import FindContract, InvalidDefinition, contract_of, contract_problems
from contracts.definition import SagaDefinition
from contracts.failure import InvalidContract
from contracts.pointers import Problem
from saga.conditions import compile_condition
from saga.json_schemas import check_schema


def definition_problems(definition: SagaDefinition, find: FindContract = contract_of) -> list[Problem]:
    """All that is known to be wrong: contracts of actions, references, conditions, the input's schema."""
    problems = contract_problems(definition, find)
    for index, step in enumerate(definition.steps):
        if step.when:
            try:
                compile_condition(step.when)
            except InvalidContract as error:
                problems.append(Problem(f"/steps/{index}/when", str(error)))
    if definition.input_schema is not None:
        try:
            check_schema(definition.input_schema)
        except InvalidContract as error:
            problems.append(Problem("/input_schema", str(error)))
    return problems


def check_definition(definition: SagaDefinition) -> None:
    """Raises InvalidDefinition with everything that `definition_problems` finds."""
    if problems := definition_problems(definition):
        raise InvalidDefinition(definition.ref, problems)
