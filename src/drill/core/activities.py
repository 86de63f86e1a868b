"""Chaos Toolkit activities as data: which function, request or program, with what, and where its secrets stand.

Owns the words of Chaos Toolkit's experiment format that drill understands. Runs nothing, that is for
:mod:`drill.target.activities`. A secret is never data here, only the name of the variable or file that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from drill.core.redact import SecretInFile, is_secret_name, redact
from drill.core.values import Value

REFERENCE = re.compile(r"\$\{[^}]*\}")
"""``${name}``: what Chaos Toolkit puts a configured value or a secret in for."""
SCHEME = re.compile(r"\s*(?:bearer|basic|apikey|geniekey|token|digest)?\s*", re.IGNORECASE)


def secrets_in(value: object, name: str = "") -> Iterator[str]:
    """Yield the names or texts in *value* that look like secrets; ``${name}`` is where a secret should be."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from secrets_in(inner, str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from secrets_in(inner, name)
    elif isinstance(value, str) and value:
        text = REFERENCE.sub("", value)
        if is_secret_name(name) and not SCHEME.fullmatch(text):
            yield f"'{name}'"
        elif redact(text) != text:
            yield f"'{redact(text)[:40]}'"


def _no_secret(value: Any) -> Any:
    for found in secrets_in(value):
        raise SecretInFile(
            f"{found} looks like a secret, and plans and journals are kept: write ${{name}} here "
            "and say where it stands under 'secrets'"
        )
    return value


Open = AfterValidator(_no_secret)
"""May be written down and shown: nothing in it looks like a secret."""
Arguments = Annotated[dict[str, JsonValue], Open]
Text = Annotated[str, Open]


class PythonProvider(Value):
    """A function of an installed module; ``secrets`` names the groups that are handed to it."""

    type: Literal["python"]
    module: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
    func: str = Field(pattern=r"^[A-Za-z_]\w*$")
    arguments: Arguments = {}
    secrets: tuple[str, ...] = ()


class HttpProvider(Value):
    """One HTTP request. ``timeout`` is in seconds, or ``[connect, read]``."""

    type: Literal["http"]
    url: Text = Field(pattern=r"^(https?://|\$\{)")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Annotated[dict[str, str], Open] = {}
    arguments: Annotated[JsonValue, Open] = None
    timeout: float | tuple[float, float] | None = None
    verify_tls: bool = True
    max_retries: int = Field(0, ge=0, le=10)
    secrets: tuple[str, ...] = ()


class ProcessProvider(Value):
    """A program. ``arguments`` as a list or a mapping go to it as they are; one text goes through a shell."""

    type: Literal["process"]
    path: Text = Field(min_length=1)
    arguments: Annotated[str | list[JsonValue] | dict[str, JsonValue], Open] = []
    timeout: float | None = Field(None, gt=0)
    secrets: tuple[str, ...] = ()


AnyProvider = PythonProvider | HttpProvider | ProcessProvider
Provider = Annotated[AnyProvider, Field(discriminator="type")]


class Activity(Value):
    """One activity: what is called, how long it may take (s), and which answers count as good.

    ``tolerance`` is Chaos Toolkit's (``true``, ``200``, ``[1, 5]``, ``{type: range, …}``) or one of drill's own:
    ``{type: not, tolerance: …}``, ``{type: changed}`` (another answer than before the fault) and ``{type: gone,
    at_least: N}`` (so many items of the list that was answered before the fault are missing now).
    """

    name: str
    provider: Provider
    timeout_s: float = 30.0
    tolerance: JsonValue = None


class SecretSource(Value):
    """Where a secret stands: exactly one of an environment variable and a file."""

    env: str = ""
    file: str = ""

    @model_validator(mode="after")
    def _one(self) -> SecretSource:
        if bool(self.env) == bool(self.file):
            raise ValueError("write one of {env: VARIABLE} and {file: PATH}")
        return self


class Surroundings(Value):
    """What an activity is given beside its arguments: ``configuration``, and secrets by group and name.

    ``context`` is the Kubernetes context it may touch; empty: none.
    """

    configuration: Arguments = {}
    secrets: dict[str, dict[str, SecretSource]] = {}
    context: str = ""


class Call(Value):
    """An activity with its surroundings: all that is needed to run it, now or after a crash."""

    activity: Activity
    surroundings: Surroundings = Surroundings()


def subject(provider: AnyProvider) -> str:
    """Name what *provider* calls, the way a rule that allows it does: ``process:/usr/bin/stress-ng``."""
    match provider:
        case PythonProvider():
            return f"python:{provider.module}.{provider.func}"
        case HttpProvider():
            return f"http:{provider.url}"
        case ProcessProvider(arguments=str(words)):
            return f"shell:{provider.path} {words}"
        case ProcessProvider():
            return f"process:{provider.path}"


def describe_call(call: Call) -> str:
    """Say in one line what *call* runs, the way `drill plan` prints it."""
    provider, name = call.activity.provider, call.activity.name
    match provider:
        case PythonProvider():
            given = ", ".join(f"{key}={_short(value)}" for key, value in provider.arguments.items())
            what = f"{provider.module}.{provider.func}({given})"
        case HttpProvider():
            what = f"{provider.method.upper()} {provider.url}"
        case ProcessProvider():
            what = f"run {' '.join([provider.path, *_words(provider.arguments)])}"
    return f"{what} ({name})" if name else what


def _words(arguments: str | list[JsonValue] | dict[str, JsonValue]) -> list[str]:
    if isinstance(arguments, str):
        return [arguments]
    if isinstance(arguments, dict):
        return [str(word) for pair in arguments.items() for word in pair]
    return [str(word) for word in arguments]


def _short(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
