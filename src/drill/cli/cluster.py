"""A namespace of a Kubernetes cluster as a place for drills: from a context's name to a target and its alert path.

Owns what joins drill.toml, kubeconfig, the namespace's annotations and the servers that were found. A context is
named or there is none: a kubeconfig's current context is never used.
"""

from __future__ import annotations

import atexit
import os
import platform
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from drill.cli import reaching
from drill.cli.config import Context, find_context
from drill.cli.places import Opening
from drill.cli.predicting import read_rule_files
from drill.cli.settings import RunSettings
from drill.core.errors import Refused, Unavailable, UsageError
from drill.core.facts import Endpoints, Facts
from drill.core.ports import Target
from drill.observe.live import LiveRules, healthy, live_rules
from drill.observe.observer import Observer, ObserverOptions
from drill.plan.compile import Rules
from drill.target.kubernetes import marks, objects, paths, servers, stop
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import NotThere
from drill.target.kubernetes.leases import leases
from drill.target.kubernetes.planned import Timing
from drill.target.kubernetes.ports import NodeAgents
from drill.target.kubernetes.target import KubernetesTarget


@dataclass(frozen=True)
class Where:
    """A cluster and a namespace of it, as named on the command line and in drill.toml."""

    context: Context
    access: Access
    namespace: str

    @property
    def key(self) -> tuple[str, Access, str]:
        """What tells one session from another."""
        return self.context.name, self.access, self.namespace


def where(settings: RunSettings) -> Where:
    """Return what *settings* and drill.toml name. Raises UsageError, ProblemsFound; asks nobody."""
    found = find_context(settings.target) or Context(
        name=settings.target, file="drill.toml", kubernetes=settings.target
    )
    if not found.kubernetes:
        raise UsageError(
            f"context '{found.name}' names no cluster, so nothing can be broken there",
            hint=f"set kubernetes to a context of your kubeconfig in {found.file}",
        )
    kubeconfig = str(found.kubeconfig) if found.kubeconfig else ""
    return Where(
        found, Access(found.kubernetes, kubeconfig, settings.as_user), settings.namespace or found.namespace
    )


@dataclass
class Session:
    """One cluster as this process uses it: shared by all runs at it, closed by the last one that lets go."""

    where: Where
    api: Api
    namespace: str
    servers: servers.Servers
    users: int = 0
    agents: NodeAgents | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def endpoints(self) -> Endpoints:
        """Where the evidence is: as drill.toml says, else as found in the cluster."""
        found = self.servers.endpoints
        reached = self.where.context.reach(found.prometheus, found.alertmanagers, found.sink)
        return reached.with_(passing=found.passing)

    def near_pods(self) -> NodeAgents:
        """Return those near the pods, made when they are needed first."""
        with self.lock:
            if self.agents is None:
                self.agents = make_agents(self.api, self.where.context.helper_image, self.where.context.way)
            return self.agents

    def close(self) -> None:
        """Let go of agents, doors and connections. Raises UndoIncomplete, naming what agents left."""
        with self.lock:
            agents, self.agents = self.agents, None
        try:
            if agents is not None:
                agents.close()
        finally:
            self.servers.close()
            self.api.close()


def make_agents(api: Api, image: str = "", way: str = "helper") -> NodeAgents:
    """Return what puts a helper on every node where faults are held; nothing is started yet.

    With *way* ``ephemeral`` it puts an agent into each pod concerned instead.

    *image* is drill.toml's; $DRILL_HELPER_IMAGE counts where that names none, else the release's own image.
    """
    from drill.target.kubernetes.helpers import Helpers
    from drill.target.kubernetes.podspec import HelperSettings

    image = image or os.environ.get("DRILL_HELPER_IMAGE", "")
    settings = HelperSettings(image=image) if image else HelperSettings()
    if way == "ephemeral":
        from drill.target.kubernetes.ephemeral import Ephemeral

        return Ephemeral(api, settings)
    return Helpers(api, settings)


_sessions: dict[tuple[str, Access, str], Session] = {}
_lock = threading.Lock()


def session(settings: RunSettings) -> Session:
    """Return the session of the cluster *settings* name, opened if need be. Raises UsageError, Unavailable."""
    named = where(settings)
    with _lock:
        known = _sessions.get(named.key)
        if known is None:
            known = _sessions[named.key] = _open(named)
        known.users += 1
        return known


def _open(named: Where) -> Session:
    api = reaching.taken(named.access) or Api(named.access)
    namespace = named.namespace or api.namespace
    ends = named.context.endpoints
    wanted = [
        kind
        for kind, given in (
            (servers.PROMETHEUS, ends.prometheus),
            (servers.ALERTMANAGER, ends.alertmanagers),
            (servers.SINK, ends.sink),
        )
        if not given
    ]
    return Session(named, api, namespace, servers.find_servers(api, [namespace], wanted))


def let_go(used: Session) -> None:
    """Close *used* when nobody else uses it. Raises UndoIncomplete."""
    with _lock:
        used.users -= 1
        if used.users > 0:
            return
        _sessions.pop(used.where.key, None)
    used.close()


@atexit.register
def _close_all() -> None:
    """What was opened for plans that were never run."""
    for one in list(_sessions.values()):
        with suppress(Exception):
            one.close()
    _sessions.clear()


def allowed(api: Api, namespace: str) -> objects.Thing:
    """Return the namespace. Raises UsageError when it is not there, Refused when drills are not let in."""
    if namespace in marks.PROTECTED:
        raise Refused(f"namespace {namespace} is protected: no drill acts in it", hint="choose another --namespace")
    try:
        found = api.get(paths.namespace(namespace), objects.Thing)
    except NotThere as error:
        hint = "give --namespace, or set namespace in drill.toml"
        raise UsageError(f"{api.context} has no namespace '{namespace}'", hint=hint) from error
    if found.metadata.labels.get(marks.ALLOWED) != "true":
        raise Refused(
            f"namespace {namespace} of {api.context} does not let drills in",
            hint=f"its owner can: kubectl label namespace {namespace} {marks.ALLOWED}=true",
        )
    return found


@dataclass(frozen=True)
class ClusterPlace:
    """One namespace for one plan."""

    session: Session
    target: KubernetesTarget
    live: LiveRules
    settings: RunSettings
    stays: bool = False

    @classmethod
    def open(cls, settings: RunSettings, concerned: Sequence[str], *, agents: bool) -> ClusterPlace:
        """Connect, and read what the alert path has loaded. Raises UsageError, Refused, Unavailable."""
        used = session(settings)
        try:
            namespace = allowed(used.api, used.namespace)
            observer = Observer(used.endpoints, used.where.context.options)
            try:
                files = used.where.context.rules
                live = live_rules(observer, read_rule_files(files) if files else ())
                timing = _timing(used, live, observer, namespace, concerned)
            finally:
                observer.close()
            maker = used.near_pods if agents else None
            target = KubernetesTarget(used.api, used.namespace, used.endpoints, timing, maker, concerned)
            return cls(used, target, live, settings)
        except BaseException:
            let_go(used)
            raise

    @property
    def rules(self) -> Rules:
        """The rules and routes that are loaded now."""
        return self.live.rules

    @property
    def namespace(self) -> str:
        """The namespace."""
        return self.session.namespace

    @property
    def observer_options(self) -> ObserverOptions | None:
        """As drill.toml says."""
        return self.session.where.context.options

    def facts(self) -> Facts:
        """The namespace as it is now."""
        return self.target.facts()

    @contextmanager
    def opened(self, opening: Opening) -> Iterator[Target]:
        """Look for an abort, hold the leases, listen for an abort until the end."""
        api = self.session.api
        try:
            stop.check(api)
            holder = f"{opening.run_id} ({platform.node()}, process {os.getpid()})"
            with (
                leases(api, self.namespace, opening.services, holder, opening.end),
                stop.Ear(api, opening.end),
            ):
                stop.check(api)  # one that came between the first look and the lease
                yield self.target
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the session."""
        let_go(self.session)


def _timing(
    used: Session, live: LiveRules, observer: Observer, namespace: objects.Thing, concerned: Sequence[str]
) -> Timing:
    wait_s, interval_s = live.group_times_s
    return Timing(
        scrape_interval_s=live.scrape_interval_s,
        evaluation_interval_s=live.evaluation_interval_s,
        group_wait_s=wait_s,
        group_interval_s=interval_s,
        history_s=_history_s(live, observer, concerned),
        fast_forward=_fast_forward(used, namespace),
        chained=live.chained,
        agents=used.where.context.way,
    )


def _history_s(live: LiveRules, observer: Observer, concerned: Sequence[str]) -> float:
    """Age of the youngest series behind the alerts of the services concerned; 0 when nobody can say."""
    alerts = [alert for alert in live.alerts if alert.service in concerned] or list(live.alerts)
    try:
        return min((one.history_s for one in healthy(observer, alerts).values()), default=0.0)
    except Unavailable:
        return 0.0


def _fast_forward(used: Session, namespace: objects.Thing) -> float:
    """By the namespace's annotation, else drill.toml, else 1: real windows. Raises UsageError."""
    said = namespace.metadata.annotations.get(marks.FAST_FORWARD, "")
    if not said:
        return used.where.context.fast_forward
    try:
        value = float(said)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 3600:
        raise UsageError(
            f"annotation {marks.FAST_FORWARD} of namespace {namespace.name} is '{said}',"
            " not a number from 1 to 3600"
        )
    return value


__all__ = ["ClusterPlace", "Session", "Where", "allowed", "let_go", "session", "where"]
