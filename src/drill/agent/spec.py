"""The fault an agent is asked to hold: the JSON form of drill's ``…Fault`` records, checked and typed.

Refuses unknown kinds and fields, values out of range and addresses that are not IPv4, because the text goes
into rule sets and command lines of a privileged program.
"""

from __future__ import annotations

import dataclasses
import json
import socket
from dataclasses import dataclass
from typing import Any

from drill.agent.errors import CannotApply

PERCENTS = ("loss_percent", "reorder_percent", "duplicate_percent", "abort_percent", "delay_percent")


@dataclass(frozen=True)
class Packet:
    """Packets of TCP ``port`` are delayed, lost, reordered, duplicated, shaped, dropped or rejected."""

    backend: str
    port: int
    direction: str = "ingress"
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    reorder_percent: float = 0.0
    duplicate_percent: float = 0.0
    rate_bit: int = 0
    drop: str = ""
    peers: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Http:
    """A share of the HTTP requests to ``port`` is aborted with ``status`` and/or delayed."""

    port: int
    abort_percent: float = 0.0
    status: int = 503
    delay_percent: float = 0.0
    delay_ms: float = 0.0
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cpu:
    """``workers`` burn CPU at ``load_percent`` each."""

    workers: int
    load_percent: int = 100


@dataclass(frozen=True)
class Memory:
    """``size_bytes`` are allocated; with ``oom`` more than the limit allows."""

    size_bytes: int
    oom: bool = False


@dataclass(frozen=True)
class Disk:
    """The file system at ``path`` is filled until ``leave_bytes`` are free."""

    path: str
    leave_bytes: int = 0


@dataclass(frozen=True)
class Pause:
    """Every process of the replica is stopped."""


Spec = Packet | Http | Cpu | Memory | Disk | Pause
KINDS: dict[str, type[Spec]] = {
    "packet": Packet, "http": Http, "cpu": Cpu, "memory": Memory, "disk": Disk, "pause": Pause,
}  # fmt: skip


def parse_spec(text: str) -> Spec:
    """Return the fault that the JSON *text* describes. Raises CannotApply when it is none."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise CannotApply(f"the spec is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        raise CannotApply(f"the spec's kind is none of {', '.join(KINDS)}")
    kind = KINDS[data.pop("kind")]
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise CannotApply(f"the spec has unknown fields: {', '.join(unknown)}")
    try:
        values: dict[str, Any] = {name: _typed(str(fields[name].type), value) for name, value in data.items()}
        spec = kind(**values)
    except (TypeError, ValueError) as error:
        raise CannotApply(f"the spec is wrong: {error}") from error
    _check(spec)
    return spec


def _typed(kind: str, value: object) -> object:
    match kind, value:
        case "bool", bool():
            return value
        case (("int" | "float"), bool()):
            pass
        case "int", int():
            return value
        case "float", int() | float() if value == value and abs(value) != float("inf"):
            return float(value)
        case "str", str():
            return value
        case "tuple[str, ...]", list() if all(isinstance(part, str) for part in value):
            return tuple(value)
    raise ValueError(f"{value!r} is no {kind}")


def _check(spec: Spec) -> None:
    for name, value in vars(spec).items():
        if name in PERCENTS and not 0 <= value <= 100:
            raise CannotApply(f"{name} is {value:g}, not 0 to 100")
        if isinstance(value, (int, float)) and value < 0:
            raise CannotApply(f"{name} is negative")
        if name == "port" and not 0 < value < 65536:
            raise CannotApply(f"port {value} is not 1 to 65535")
        if isinstance(value, tuple):
            _check_addresses(name, value)
    match spec:
        case Packet():
            _one_of("backend", spec.backend, ("netem", "nfqueue", "nft", "htb"))
            _one_of("direction", spec.direction, ("ingress", "egress"))
            _one_of("drop", spec.drop, ("", "drop", "reject"))
        case Http() if not 200 <= spec.status <= 599:
            raise CannotApply(f"status {spec.status} is not 200 to 599")
        case Cpu() if not (1 <= spec.workers <= 1024 and 1 <= spec.load_percent <= 100):
            raise CannotApply("cpu: 1 to 1024 workers at 1 to 100 percent")
        case Disk() if not spec.path.startswith("/"):
            raise CannotApply(f"path '{spec.path}' is not absolute")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise CannotApply(f"{name} '{value}' is none of {', '.join(repr(word) for word in known)}")


def _check_addresses(name: str, addresses: tuple[str, ...]) -> None:
    for address in addresses:
        try:
            socket.inet_pton(socket.AF_INET, address)
        except OSError as error:
            raise CannotApply(f"{name}: '{address}' is no IPv4 address") from error
