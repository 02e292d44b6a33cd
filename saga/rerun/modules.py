"""The actions that a module or a file holds."""

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from contracts.failure import InvalidContract, NotFound
from saga.action import Action


def load_actions(modules: Iterable[str]) -> dict[str, Action]:
    """The actions, by name, of dotted modules (to be imported from where the command is run) and `.py` files.

    Raises NotFound for a module that is not there, InvalidContract for one that cannot be loaded or holds no action.
    """
    found: dict[str, Action] = {}
    for what in modules:
        actions = [value for value in vars(_load(what)).values() if isinstance(value, Action)]
        if not actions:
            raise InvalidContract(f"{what} holds no action: expected a function under @action")
        found |= {action.name: action for action in actions}
    return found


def _load(what: str) -> ModuleType:
    try:
        return _of_file(Path(what)) if what.endswith(".py") else _imported(what)
    except (NotFound, KeyboardInterrupt):
        raise
    except Exception as error:
        raise InvalidContract(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error


def _of_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise NotFound(f"{file}: no such file")
    name = f"handlers_{file.stem}"
    spec = spec_from_file_location(name, file)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = module_from_spec(spec)
    # Where its types are looked for by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _imported(name: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise NotFound(f"no module {name!r} to be imported from here: {error}") from error
