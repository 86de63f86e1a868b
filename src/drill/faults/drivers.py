"""The parameters of a driver's functions, read from its source: importing Kubernetes's client takes a second.

Owns the way from a signature to a model of parameters. Runs nothing of the driver.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Union

from pydantic import ConfigDict, Field, create_model

from drill.faults.base import Params

SIMPLE: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "dict": dict[str, Any],
    "list": list[Any],
}
GIVEN_ELSEWHERE = {"secrets", "configuration"}


def model_of(package: str, module: str, function: str, checked: type[Params] = Params) -> type[Params]:
    """Return the model of *function*'s arguments, with the checks of *checked*.

    Raises LookupError when the driver, or the function in it, is not installed.
    """
    definition = _definition(package, module, function)
    given = definition.args.args
    defaults: list[ast.expr | None] = [None] * (len(given) - len(definition.args.defaults))
    defaults += definition.args.defaults
    fields: dict[str, Any] = {
        argument.arg: _field(argument, default)
        for argument, default in zip(given, defaults, strict=True)
        if argument.arg not in GIVEN_ELSEWHERE
    }
    summary = (ast.get_docstring(definition) or function).split("\n\n")[0]
    # `all` and `copy` are arguments of drivers and no mistake
    config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    model: type[Params] = create_model(
        f"{function}_arguments", __base__=checked, __doc__=" ".join(summary.split()), **fields
    )
    model.model_config = {**checked.model_config, **config}
    return model


@cache
def _tree(package: str, module: str) -> ast.Module:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise LookupError(f"the package {package} is not installed")
    file = Path(next(iter(found.submodule_search_locations))).joinpath(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        raise LookupError(f"{package}.{module} is not part of the installed package")
    return ast.parse(file.read_text())


def _definition(package: str, module: str, function: str) -> ast.FunctionDef:
    for node in _tree(package, module).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return node
    raise LookupError(f"{package}.{module} has no function {function}")


def _field(argument: ast.arg, default: ast.expr | None) -> tuple[Any, Any]:
    kind = type_of(argument.annotation)
    if default is None:
        return kind, Field()
    value = ast.literal_eval(default)
    return (kind if value is not None else Union[kind, None]), Field(value)  # noqa: UP007 - kinds known at run time


def type_of(node: ast.expr | None) -> Any:
    """Return the type an annotation stands for; Any for what is not known."""
    match node:
        case ast.Name(id=name):
            return SIMPLE.get(name, Any)
        case ast.Constant(value=None):
            return None
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return Union[type_of(inner), None]  # noqa: UP007
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=inner)):
            return Union[tuple(_types(inner))]  # noqa: UP007
        case ast.Subscript(value=ast.Name(id="List"), slice=inner):
            return list[type_of(inner)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="Dict")):
            return dict[str, Any]
    return Any


def _types(nodes: Sequence[ast.expr]) -> list[Any]:
    return [type_of(node) for node in nodes]
