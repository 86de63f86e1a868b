"""``drill.toml``: where a user's servers are and how they want to be asked, by context.

Owns the file's form, where it is looked for, and the step from a context's section to what the observer takes.
Refuses secrets in the file: it says which file or environment variable holds them. Asks no server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from drill.cli import tomltree
from drill.cli.configfile import FILE, find_file
from drill.core.errors import ProblemsFound, UsageError
from drill.core.facts import Endpoints
from drill.core.problems import Problem, did_you_mean
from drill.core.promql import promql_error
from drill.core.redact import is_secret_name, redact
from drill.gameday.announce import read_secret
from drill.gameday.model import Secret
from drill.observe.http import ServerOptions
from drill.observe.observer import DEFAULT_TRAFFIC, ObserverOptions
from drill.scenario.model import Duration, Part
from drill.scenario.words import Subject, problems_of
from drill.scenario.yamltree import Document, Node, plain

RESERVED = "sandbox"
"""What no context may be called: ``--target sandbox`` is the embedded one."""


class BasicAuth(Part):
    """A user with a password."""

    username: str = Field(min_length=1, description="the user")
    password_file: str = Field("", description="file that holds the password")
    password_env: str = Field("", description="environment variable that holds the password")

    @model_validator(mode="after")
    def _one_place(self) -> BasicAuth:
        if bool(self.password_file) == bool(self.password_env):
            raise ValueError("basic_auth needs one of 'password_file' and 'password_env'")
        return self


class TlsConfig(Part):
    """Certificates, named as in Prometheus's ``tls_config``."""

    ca_file: str = Field("", description="authorities that sign the server's certificate, instead of the system's")
    cert_file: str = Field("", description="the client's certificate")
    key_file: str = Field("", description="the client certificate's key, where it is a file of its own")
    server_name: str = Field("", description="who the server's certificate names, if not the URL's host")
    insecure_skip_verify: bool = Field(False, description="true: believe any certificate")

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> TlsConfig:
        if self.key_file and not self.cert_file:
            raise ValueError("'key_file' needs 'cert_file' beside it")
        return self


class ServerConfig(Part):
    """One server and how it wants to be asked."""

    url: str = Field("", description="base address, a path prefix included")
    headers: dict[str, str | Secret] = Field({}, description="headers of every request, as X-Scope-OrgID")
    params: dict[str, str | Secret] = Field({}, description='parameters of every query, as dedup = "false"')
    bearer_token_file: str = Field("", description="file that holds the token; read anew for every request")
    bearer_token_env: str = Field("", description="environment variable that holds the token")
    basic_auth: BasicAuth | None = Field(None, description="user and where the password stands")
    tls_config: TlsConfig = Field(TlsConfig(), description="certificates, as in Prometheus's tls_config")
    proxy_url: str | Secret = Field("", description="proxy for this server alone")
    connect_timeout: Duration = Field(2.0, gt=0, description="how long a connection may take")
    timeout: Duration = Field(5.0, gt=0, description="how long an answer may take")
    retries: int = Field(1, ge=0, le=10, description="how often a read is tried again")

    @field_validator("url", "proxy_url")
    @classmethod
    def _an_address(cls, value: Any) -> Any:
        if isinstance(value, str) and value and not value.startswith(("http://", "https://")):
            raise ValueError(f"'{value}' is not a web address: write http://host:port or https://host/prefix")
        if isinstance(value, str) and "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError('an address here holds no user and password: write basic_auth, or { env = "NAME" }')
        return value

    @field_validator("headers", "params")
    @classmethod
    def _no_secrets(cls, value: dict[str, str | Secret]) -> dict[str, str | Secret]:
        for name, said in value.items():
            if isinstance(said, str) and is_secret_name(name):
                raise ValueError(
                    f'the value of {name} is a secret: write {name} = {{ file = "…" }} or {{ env = "…" }}'
                )
        return value

    @model_validator(mode="after")
    def _one_login(self) -> ServerConfig:
        given = [n for n in ("bearer_token_file", "bearer_token_env", "basic_auth") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        return self


class ContextConfig(Part):
    """One place drills run at, or that is only observed. Without ``kubernetes`` nothing can be broken in it."""

    description: str = Field("", description="what it is, for people")
    kubernetes: str = Field("", description="the context of the kubeconfig")
    kubeconfig: str = Field("", description="the kubeconfig; else $KUBECONFIG or ~/.kube/config")
    namespace: str = Field("", description="the namespace of the services")
    helper_image: str = Field("", description="image of the helper pods, by digest where a registry gives one")
    way: Literal["helper", "ephemeral"] = Field(
        "helper", description="how agents get to pods: a helper pod a node, or an ephemeral container in the pod"
    )
    prometheus: ServerConfig = Field(ServerConfig(), description="Prometheus, Thanos, Mimir or Cortex")
    alertmanagers: tuple[ServerConfig, ...] = Field((), description="every peer of the Alertmanager cluster")
    sink: ServerConfig | None = Field(None, description="drill's notification sink, where there is one")
    traffic: dict[str, str] = Field({}, description="requests per second by sloth_id: PromQL with {window}")
    default_traffic: str = Field(DEFAULT_TRAFFIC, description="the same for all others, by the label service")
    fast_forward: float = Field(1.0, ge=1, le=3600, description="by what its windows are divided")
    rules: tuple[str, ...] = Field((), description="rule files; else they are read from Prometheus")

    @model_validator(mode="after")
    def _reaches_something(self) -> ContextConfig:
        if not self.kubernetes and not self.prometheus.url:
            raise ValueError("this context names neither 'kubernetes' nor a 'url' of 'prometheus'")
        return self


class Config(Part):
    """The whole file."""

    contexts: dict[str, ContextConfig] = Field({}, description="the places drills run at, by name")


@dataclass(frozen=True)
class Context:
    """One context, ready for use: paths are absolute, secrets are read.

    ``endpoints`` has the URLs the file names; an empty one is the target's to supply (a port-forward), see
    :meth:`reach`. ``options`` hold for either.
    """

    name: str
    file: str
    kubernetes: str = ""
    kubeconfig: Path | None = None
    namespace: str = ""
    helper_image: str = ""
    way: str = "helper"
    endpoints: Endpoints = field(default_factory=lambda: Endpoints(prometheus="", alertmanagers=()))
    options: ObserverOptions = field(default_factory=ObserverOptions)
    fast_forward: float = 1.0
    rules: tuple[Path, ...] = ()

    @property
    def lacks(self) -> tuple[str, ...]:
        """Which of ``prometheus`` and ``alertmanagers`` the file gives no URL for."""
        return tuple(name for name in ("prometheus", "alertmanagers") if not getattr(self.endpoints, name))

    def reach(self, prometheus: str = "", alertmanagers: Sequence[str] = (), sink: str = "") -> Endpoints:
        """Return the endpoints; those the file leaves out are as given here.

        Raises UsageError when neither names a Prometheus.
        """
        found = Endpoints(
            prometheus=self.endpoints.prometheus or prometheus,
            alertmanagers=self.endpoints.alertmanagers or tuple(alertmanagers),
            sink=self.endpoints.sink or sink,
        )
        if not found.prometheus:
            raise UsageError(
                f"context '{self.name}' names no Prometheus", hint=f"set prometheus.url in {self.file}"
            )
        return found


@dataclass(frozen=True)
class Loaded:
    """A configuration with the file it came from; ``document`` tells where each value stands."""

    path: Path
    config: Config
    document: Document = field(repr=False)


def load(path: Path) -> Loaded:
    """Read *path*. Raises ProblemsFound with all mistakes, UsageError when it cannot be read."""
    try:
        document = tomltree.read(path.read_bytes(), _shown(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    config = Config()
    if document.root is not None:
        try:
            config = Config.model_validate(plain(document.root))
        except ValidationError as error:
            subject = Subject(document, document.root, plain(document.root), Config, lambda _: "")
            document.problems += problems_of(error, subject)
        else:
            document.problems += _beyond_shape(document, config)
    if document.problems:
        raise ProblemsFound([_without_secrets(one) for one in sorted(document.problems, key=_in_order)])
    return Loaded(path, config, document)


def context_names(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> tuple[str, ...]:
    """Return the names of all contexts of the file in force. Raises as :func:`load`."""
    path = find_file(os.environ if environ is None else environ, cwd or Path.cwd())
    return tuple(sorted(load(path).config.contexts)) if path else ()


def find_context(name: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Context | None:
    """Return the context called *name* of the file in force, None when that file knows none of this name.

    Raises ProblemsFound for mistakes of the file or for secrets that are not there, UsageError.
    """
    environ = os.environ if environ is None else environ
    path = find_file(environ, cwd or Path.cwd())
    loaded = load(path) if path else None
    if loaded is None or name not in loaded.config.contexts:
        return None
    return resolve(loaded, name, environ)


def context(name: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Context:
    """Return the context called *name*. Raises UsageError when there is none, else as :func:`find_context`."""
    found = find_context(name, environ, cwd)
    if found is not None:
        return found
    known = context_names(environ, cwd)
    hint = did_you_mean(name, known) or f"write [contexts.{name}] into a {FILE}"
    raise UsageError(f"no {FILE} has a context '{name}'", hint=hint)


def resolve(loaded: Loaded, name: str, environ: Mapping[str, str]) -> Context:
    """Make the context *name* of *loaded* ready: read secrets, make paths absolute. Raises ProblemsFound."""
    said = loaded.config.contexts[name]
    reader = _Reader(loaded, ("contexts", name), environ)
    prometheus = reader.options(said.prometheus, "prometheus")
    peers = [reader.options(peer, "alertmanagers", index) for index, peer in enumerate(said.alertmanagers)]
    sink = reader.options(said.sink, "sink") if said.sink else ServerOptions()
    made = Context(
        name=name,
        file=loaded.document.file,
        kubernetes=said.kubernetes,
        kubeconfig=reader.file(said.kubeconfig, "kubeconfig"),
        namespace=said.namespace,
        helper_image=said.helper_image,
        way=said.way,
        endpoints=Endpoints(
            prometheus=said.prometheus.url,
            alertmanagers=tuple(peer.url for peer in said.alertmanagers if peer.url),
            sink=said.sink.url if said.sink else "",
        ),
        options=ObserverOptions(
            prometheus=prometheus,
            alertmanager=peers[0] if peers else ServerOptions(),
            alertmanager_peers={peer.url: made for peer, made in zip(said.alertmanagers, peers, strict=True)},
            sink=sink,
            traffic=said.traffic,
            default_traffic=said.default_traffic,
        ),
        fast_forward=said.fast_forward,
        rules=reader.globbed(said.rules),
    )
    if reader.problems:
        raise ProblemsFound(reader.problems)
    return made


@dataclass
class _Reader:
    """Reads what a context's section points at; what is missing becomes a problem at its place."""

    loaded: Loaded
    at: tuple[str, ...]
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def options(self, said: ServerConfig, *path: str | int) -> ServerOptions:
        auth, tls = said.basic_auth, said.tls_config
        token_env, password = said.bearer_token_env, ""
        if auth is not None:
            secret = Secret(env=auth.password_env, file=auth.password_file)
            which = "password_env" if auth.password_env else "password_file"
            password = self._secret(secret, *path, "basic_auth", which)
        files = {
            name: str(self.file(getattr(tls, name), *path, "tls_config", name) or "")
            for name in ("ca_file", "cert_file", "key_file")
        }
        return ServerOptions(
            connect_timeout_s=said.connect_timeout,
            read_timeout_s=said.timeout,
            retries=said.retries,
            headers={name: self._text(value, *path, "headers", name) for name, value in said.headers.items()},
            params={name: self._text(value, *path, "params", name) for name, value in said.params.items()},
            bearer_token=self._secret(Secret(env=token_env), *path, "bearer_token_env") if token_env else "",
            bearer_token_file=str(self.file(said.bearer_token_file, *path, "bearer_token_file") or ""),
            basic_auth=(auth.username, password) if auth else None,
            verify=not tls.insecure_skip_verify,
            server_name=tls.server_name,
            proxy=self._text(said.proxy_url, *path, "proxy_url"),
            **files,
        )

    def file(self, said: str, *path: str | int) -> Path | None:
        """Return the path of an existing file, from the configuration's folder; None when none is named."""
        if not said:
            return None
        found = self._folder / Path(said).expanduser()
        if not found.is_file():
            self._bad(f"the file {said} is not there", *path)
        return found

    def globbed(self, patterns: Sequence[str]) -> tuple[Path, ...]:
        found: list[Path] = []
        for index, pattern in enumerate(patterns):
            whole = self._folder / Path(pattern).expanduser()
            here = sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))
            if not here:
                self._bad(f"no file is called {pattern}", "rules", index)
            found += [one for one in here if one.is_file() and one not in found]
        return tuple(found)

    @property
    def _folder(self) -> Path:
        return self.loaded.path.absolute().parent

    def _text(self, said: str | Secret, *path: str | int) -> str:
        return said if isinstance(said, str) else self._secret(said, *path)

    def _secret(self, secret: Secret, *path: str | int) -> str:
        try:
            return read_secret(secret, self.environ, self._folder)
        except ValueError as error:
            self._bad(str(error), *path)
            return ""

    def _bad(self, message: str, *path: str | int) -> None:
        self.problems.append(_problem_at(self.loaded.document, (*self.at, *path), message))


def _beyond_shape(document: Document, config: Config) -> Iterator[Problem]:
    """Find what a model cannot: reserved names, PromQL that does not parse, one URL given twice."""
    for name, context in config.contexts.items():
        at = ("contexts", name)
        if name.partition(":")[0] == RESERVED:
            yield _problem_at(document, at, f"no context may be called '{name}'", "that is drill's own sandbox")
        queries = {("traffic", key): query for key, query in context.traffic.items()}
        queries |= {("default_traffic",): context.default_traffic}  # type: ignore[dict-item]
        for path, query in queries.items():
            if error := promql_error(query.replace("{window}", "5m")):
                yield _problem_at(document, (*at, *path), f"not PromQL: {error}")
        urls = [peer.url for peer in context.alertmanagers]
        for index, url in enumerate(urls):
            if url in urls[:index]:
                yield _problem_at(document, (*at, "alertmanagers", index), "this peer is named twice")


def _in_order(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _without_secrets(problem: Problem) -> Problem:
    """Leave the line out that holds what looks like a secret: the place is enough to find it."""
    shown = problem.source_line if redact(problem.source_line) == problem.source_line else ""
    return replace(problem, source_line=shown, message=redact(problem.message))


def _problem_at(document: Document, path: Sequence[str | int], message: str, hint: str = "") -> Problem:
    node = document.root
    assert node is not None
    for part in path:
        inner = _child(node, part)
        if inner is None:
            break
        node = inner
    return document.problem(node, message, hint)


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(part)
    return node.value[part] if isinstance(node.value, list) and isinstance(part, int) else None


def _shown(path: Path) -> str:
    """The path as short as it can be said from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
