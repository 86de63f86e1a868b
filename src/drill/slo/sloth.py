"""Reading Sloth's ``prometheus/v1`` files and its CRD ``PrometheusServiceLevel`` (``sloth.slok.dev/v1``).

Owns these two forms. Refuses plugins (their queries live in Go code this program does not have) and anything
it does not know, as problems with line and column; all problems of a file are found at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from drill.core.problems import Problem, did_you_mean
from drill.slo.model import WINDOW, Alerting, AlertSettings, Sli, Slo
from drill.slo.positions import Document, Path, load_documents

CRD_VERSION = "sloth.slok.dev/v1"
_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
_CAMEL = re.compile(r"_([a-z])")


def is_sloth(data: object) -> bool:
    """True when a document calls itself one of Sloth's two forms."""
    return isinstance(data, Mapping) and (data.get("version") == "prometheus/v1" or _is_crd(data))


def _is_crd(data: Mapping[str, Any]) -> bool:
    return data.get("kind") == "PrometheusServiceLevel" or data.get("apiVersion") == CRD_VERSION


def load_sloth(text: str, file: str) -> tuple[list[Slo], list[Problem]]:
    """Read all SLOs of a Sloth file (several documents allowed). SLOs with problems are left out."""
    documents, problems = load_documents(text, file)
    if not documents and not problems:
        problems.append(
            Problem(file, 0, 0, "the file is empty", "a Sloth file starts with 'version: prometheus/v1'")
        )
    slos: list[Slo] = []
    for document in documents:
        reader = _Reader(document)
        slos += reader.read()
        problems += reader.problems
    seen: dict[str, Slo] = {}
    for slo in slos:
        if slo.sloth_id in seen:
            problems.append(Problem(file, slo.line, 1, f"the SLO '{slo.sloth_id}' stands twice in this file"))
        seen[slo.sloth_id] = slo
    return slos, problems


@dataclass
class _Reader:
    """Reads one document; ``case`` turns a snake_case key into the form's own spelling."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    case: Callable[[str], str] = str

    def read(self) -> list[Slo]:
        data = self.document.data
        if not isinstance(data, dict):
            self._bad((), "expected a mapping that starts with 'version: prometheus/v1'")
            return []
        if _is_crd(data):
            return self._crd(data)
        if data.get("version") != "prometheus/v1":
            self._bad(("version",), f"version is '{data.get('version')}', known is 'prometheus/v1'")
            return []
        return self._spec(data, (), {"version"})

    def _crd(self, data: dict[str, Any]) -> list[Slo]:
        self.case = lambda name: _CAMEL.sub(lambda match: match[1].upper(), name)
        if data.get("apiVersion") != CRD_VERSION:
            self._bad(("apiVersion",), f"apiVersion is '{data.get('apiVersion')}', known is '{CRD_VERSION}'")
        self._known(data, (), {"apiVersion", "kind", "metadata", "spec", "status"})
        spec = data.get("spec")
        if not isinstance(spec, dict):
            self._bad(("spec",), "spec is missing or no mapping")
            return []
        return self._spec(spec, ("spec",), set())

    def _spec(self, spec: dict[str, Any], path: Path, also: set[str]) -> list[Slo]:
        chain = self.case("slo_plugins")
        self._known(spec, path, also | {"service", "labels", "slos", chain})
        if spec.get(chain):
            self._bad((*path, chain), "SLO plugins are Go code and are not supported here", key=True)
        service = self._name(spec, path, "service")
        labels = self._labels(spec.get("labels"), (*path, "labels"))
        slos = spec.get("slos")
        if not isinstance(slos, list) or not slos:
            self._bad((*path, "slos"), "slos must be a list with at least one SLO")
            return []
        read = [self._slo(raw, (*path, "slos", index), service, labels) for index, raw in enumerate(slos)]
        return [slo for slo in read if slo is not None]

    def _slo(self, raw: Any, path: Path, service: str, labels: dict[str, str]) -> Slo | None:
        before = len(self.problems)
        if not isinstance(raw, dict):
            self._bad(path, "an SLO must be a mapping with name, objective and sli")
            return None
        keys = {
            "name",
            "description",
            "objective",
            "labels",
            "sli",
            "alerting",
            self.case("slo_plugins"),
            "plugins",
        }
        self._known(raw, path, keys)
        for plugins in {self.case("slo_plugins"), "plugins"} & raw.keys():
            self._bad((*path, plugins), "SLO plugins are Go code and are not supported here", key=True)
        name = self._name(raw, path, "name")
        objective = self._objective(raw, path)
        sli = self._sli(raw.get("sli"), (*path, "sli"))
        own = self._labels(raw.get("labels"), (*path, "labels"))
        alerting = self._alerting(raw.get("alerting"), (*path, "alerting"))
        if len(self.problems) > before or sli is None or not service:
            return None
        return Slo(
            service=service, name=name, description=str(raw.get("description") or ""), objective_percent=objective,
            sli=sli, labels={**labels, **own}, alerting=alerting,
            file=self.document.file, line=self.document.place(path)[0],
        )  # fmt: skip

    def _objective(self, raw: dict[str, Any], path: Path) -> str:
        value = raw.get("objective")
        try:
            number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not (number.is_finite() and 0 < number < 100):
            hint = "100 % leaves no error budget" if str(value) == "100" else "write a percentage such as 99.9"
            self._bad((*path, "objective"), f"objective '{value}' is not between 0 and 100", hint)
            return "0"
        return f"{number.normalize():f}"

    def _sli(self, raw: Any, path: Path) -> Sli | None:
        if not isinstance(raw, dict) or not raw:
            self._bad(path, "sli is missing", "give sli.events with an error and a total query")
            return None
        self._known(raw, path, {"events", "raw", "plugin"})
        if raw.get("plugin") is not None:
            hint = "write the plugin's queries out under sli.events"
            self._bad((*path, "plugin"), "SLI plugins are Go code and are not supported here", hint, key=True)
            return None
        kinds = [kind for kind in ("events", "raw") if raw.get(kind) is not None]
        if len(kinds) != 1 or not isinstance(raw[kinds[0]], dict):
            self._bad(path, "sli needs exactly one of events and raw")
            return None
        names = {"events": ("error_query", "total_query"), "raw": ("error_ratio_query",)}[kinds[0]]
        self._known(raw[kinds[0]], (*path, kinds[0]), {self.case(name) for name in names})
        queries = [self._query(raw[kinds[0]], (*path, kinds[0]), self.case(name)) for name in names]
        if not all(queries):
            return None
        return Sli(error=queries[0], total=queries[1]) if kinds[0] == "events" else Sli(error_ratio=queries[0])

    def _query(self, raw: dict[str, Any], path: Path, key: str) -> str:
        value = raw.get(key)
        if not isinstance(value, str) or not value.strip():
            self._bad((*path, key), f"{key} is missing")
            return ""
        if not _WINDOW.search(value):
            self._bad((*path, key), f"{key} has no '{WINDOW}' as range", "write rate(metric[{{.window}}])")
            return ""
        return _WINDOW.sub(WINDOW, value.strip())

    def _alerting(self, raw: Any, path: Path) -> Alerting:
        if raw is None:
            return Alerting()
        if not isinstance(raw, dict):
            self._bad(path, "alerting must be a mapping")
            return Alerting()
        page, ticket = self.case("page_alert"), self.case("ticket_alert")
        self._known(raw, path, {"name", "labels", "annotations", page, ticket})
        return Alerting(
            name=str(raw.get("name") or ""),
            labels=self._labels(raw.get("labels"), (*path, "labels")),
            annotations=self._labels(raw.get("annotations"), (*path, "annotations")),
            page=self._settings(raw.get(page), (*path, page)),
            ticket=self._settings(raw.get(ticket), (*path, ticket)),
        )

    def _settings(self, raw: Any, path: Path) -> AlertSettings:
        if raw is None:
            return AlertSettings()
        if not isinstance(raw, dict):
            self._bad(path, f"{path[-1]} must be a mapping")
            return AlertSettings()
        self._known(raw, path, {"disable", "labels", "annotations"})
        if not isinstance(raw.get("disable", False), bool):
            self._bad((*path, "disable"), "disable must be true or false")
        return AlertSettings(
            disable=raw.get("disable") is True,
            labels=self._labels(raw.get("labels"), (*path, "labels")),
            annotations=self._labels(raw.get("annotations"), (*path, "annotations")),
        )

    def _labels(self, raw: Any, path: Path) -> dict[str, str]:
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            self._bad(path, f"{path[-1]} must be a mapping of names to text")
            return {}
        out = {}
        for name, value in raw.items():
            if not _LABEL.fullmatch(name):
                self._bad((*path, name), f"'{name}' is not a valid label name", key=True)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                out[name] = str(value)
            else:
                self._bad((*path, name), f"the value of '{name}' must be text: put it in quotes")
        return out

    def _name(self, raw: dict[str, Any], path: Path, key: str) -> str:
        value = raw.get(key)
        if value is None or value == "":
            self._bad((*path, key), f"{key} is missing")
            return ""
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            self._bad((*path, key), f"{key} '{value}' must be letters, digits, '-', '_' and '.'")
            return ""
        return value

    def _known(self, raw: dict[str, Any], path: Path, known: set[str]) -> None:
        for key in raw.keys() - known:
            self._bad((*path, key), f"unknown key '{key}'", did_you_mean(key, known), key=True)

    def _bad(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        self.problems.append(self.document.problem(path, message, hint, key=key))
