"""What a service's pods are made from, and its former versions: what people use of a Kubernetes Deployment.

Pure data. A change of the template makes a revision; an undo makes the former one the newest, as `kubectl rollout
undo` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from drill.target.sandbox.topology import CPU_LIMIT, MAX_REPLICAS, MEMORY_LIMIT, REPLICAS, DemoService

CPU_RANGE = (0.05, 2.0)
MEMORY_RANGE = (32 * 2**20, 512 * 2**20)
KEPT_REVISIONS = 10
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Template:
    """What a new pod gets: CPUs, bytes of memory, environment; ``restarted`` is when a restart was asked for."""

    cpus: float = CPU_LIMIT
    memory: int = MEMORY_LIMIT
    env: Mapping[str, str] = field(default_factory=dict)
    restarted: str = ""

    def without(self) -> frozenset[str]:
        """The services this one is told to do without: ``FALLBACK=payment,cart``."""
        return frozenset(name.strip() for name in self.env.get("FALLBACK", "").split(",") if name.strip())

    def rounds(self, usual: int) -> int:
        """Rounds of work for one request: ``WORK``, where it is a number, else *usual*."""
        given = self.env.get("WORK", "")
        return min(int(given), 100 * usual) if given.isdigit() else usual


@dataclass(frozen=True)
class Revision:
    """One version of the template: ``number`` grows, ``cause`` says in words what made it."""

    number: int
    template: Template
    cause: str = ""


class Deployment:
    """One service as people want it: how many replicas, of which template. Raises ValueError for nonsense."""

    def __init__(self, service: DemoService) -> None:
        self.service = service
        self.wanted = REPLICAS
        self.revisions = [Revision(1, Template())]

    @property
    def current(self) -> Revision:
        """What new pods are made from."""
        return self.revisions[-1]

    def scale(self, replicas: int) -> None:
        """Want that many replicas in service."""
        if not REPLICAS <= replicas < MAX_REPLICAS:
            raise ValueError(
                f"the sandbox runs {REPLICAS} to {MAX_REPLICAS - 1} replicas of a service, not {replicas}"
            )
        self.wanted = replicas

    def limit(self, cpus: float | None, memory: int | None) -> bool:
        """Change the limits; False when that changes nothing."""
        for value, (low, high), what in ((cpus, CPU_RANGE, "CPUs"), (memory, MEMORY_RANGE, "bytes of memory")):
            if value is not None and not low <= value <= high:
                raise ValueError(f"a replica in the sandbox gets {low:g} to {high:g} {what}, not {value:g}")
        template = self.current.template
        changed = replace(template, cpus=cpus or template.cpus, memory=memory or template.memory)
        return self._change(changed, "resource limits changed")

    def set_env(self, values: Mapping[str, str | None]) -> bool:
        """Set environment variables, remove those whose value is None; False when that changes nothing."""
        for name in values:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name[:80]}' is not a name of an environment variable")
        env = {**self.current.template.env, **values}
        kept = {name: value for name, value in sorted(env.items()) if value is not None}
        if unknown := set(kept.get("FALLBACK", "").replace(" ", "").split(",")) - {"", *self.service.calls}:
            calls = ", ".join(self.service.calls) or "nothing"
            raise ValueError(f"{self.service.name} does not call {', '.join(sorted(unknown))}; it calls {calls}")
        said = ", ".join(name if value is not None else f"{name}-" for name, value in values.items())
        return self._change(replace(self.current.template, env=kept), f"environment changed: {said}")

    def restart(self, at: str) -> None:
        """Want new pods of the same template."""
        self._change(replace(self.current.template, restarted=at), "restart")

    def undo(self, to: int = 0) -> Revision:
        """Make revision *to* (0: the one before) the newest; return it."""
        if to == 0:
            if len(self.revisions) < 2:
                raise ValueError(f'no rollout history found for deployment "{self.service.name}"')
            chosen = self.revisions[-2]
        else:
            found = [one for one in self.revisions if one.number == to]
            if not found:
                raise ValueError("unable to find the specified revision")
            chosen = found[0]
        if chosen is not self.current:
            self.revisions.remove(chosen)
            self.revisions.append(replace(chosen, number=self.current.number + 1))
        return chosen

    def _change(self, template: Template, cause: str) -> bool:
        if template == self.current.template:
            return False
        self.revisions.append(Revision(self.current.number + 1, template, cause))
        del self.revisions[:-KEPT_REVISIONS]
        return True
