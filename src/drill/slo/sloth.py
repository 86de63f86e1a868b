"""Reading Sloth's ``prometheus/v1`` files and its CRD ``PrometheusServiceLevel`` (``sloth.slok.dev/v1``).

Owns these two forms. Refuses plugins (their queries live in Go code this program does not have) and anything
it does not know, as problems with line and column; all problems of a file are found at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drill.core.problems import Problem
from drill.slo.model import WINDOW, Alerting, AlertSettings, Sli, Slo
from drill.slo.positions import Path, load_documents
from drill.slo.reading import DocumentReader, twice

CRD_VERSION = "sloth.slok.dev/v1"
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
        reader = SlothReader(document)
        slos += reader.read()
        problems += reader.problems
    return slos, problems + twice(slos)


@dataclass
class SlothReader(DocumentReader):
    """Reads one document; ``case`` turns a snake_case key into the form's own spelling."""

    case: Callable[[str], str] = str

    def read(self) -> list[Slo]:
        """Return the document's SLOs; those with problems are left out."""
        data = self.document.data
        if not isinstance(data, dict):
            self.bad((), "expected a mapping that starts with 'version: prometheus/v1'")
            return []
        if _is_crd(data):
            return self._crd(data)
        if data.get("version") != "prometheus/v1":
            self.bad(("version",), f"version is '{data.get('version')}', known is 'prometheus/v1'")
            return []
        return self._spec(data, (), {"version"})

    def _crd(self, data: dict[str, Any]) -> list[Slo]:
        self.case = lambda name: _CAMEL.sub(lambda match: match[1].upper(), name)
        if data.get("apiVersion") != CRD_VERSION:
            self.bad(("apiVersion",), f"apiVersion is '{data.get('apiVersion')}', known is '{CRD_VERSION}'")
        self.known(data, (), {"apiVersion", "kind", "metadata", "spec", "status"})
        spec = data.get("spec")
        if not isinstance(spec, dict):
            self.bad(("spec",), "spec is missing or no mapping")
            return []
        return self._spec(spec, ("spec",), set())

    def _spec(self, spec: dict[str, Any], path: Path, also: set[str]) -> list[Slo]:
        chain = self.case("slo_plugins")
        self.known(spec, path, also | {"service", "labels", "slos", chain})
        if spec.get(chain):
            self.bad((*path, chain), "SLO plugins are Go code and are not supported here", key=True)
        service = self.name(spec, path, "service")
        labels = self.labels(spec.get("labels"), (*path, "labels"))
        slos = spec.get("slos")
        if not isinstance(slos, list) or not slos:
            self.bad((*path, "slos"), "slos must be a list with at least one SLO")
            return []
        read = [self._slo(raw, (*path, "slos", index), service, labels) for index, raw in enumerate(slos)]
        return [slo for slo in read if slo is not None]

    def _slo(self, raw: Any, path: Path, service: str, labels: dict[str, str]) -> Slo | None:
        before = len(self.problems)
        if not isinstance(raw, dict):
            self.bad(path, "an SLO must be a mapping with name, objective and sli")
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
        self.known(raw, path, keys)
        for plugins in {self.case("slo_plugins"), "plugins"} & raw.keys():
            self.bad((*path, plugins), "SLO plugins are Go code and are not supported here", key=True)
        name = self.name(raw, path, "name")
        objective = self.percentage(raw, path, "objective")
        sli = self._sli(raw.get("sli"), (*path, "sli"))
        own = self.labels(raw.get("labels"), (*path, "labels"))
        alerting = self._alerting(raw.get("alerting"), (*path, "alerting"))
        if len(self.problems) > before or sli is None or not service:
            return None
        return Slo(
            service=service, name=name, description=str(raw.get("description") or ""), objective_percent=objective,
            sli=sli, labels={**labels, **own}, alerting=alerting,
            file=self.document.file, line=self.document.place(path)[0],
        )  # fmt: skip

    def _sli(self, raw: Any, path: Path) -> Sli | None:
        if not isinstance(raw, dict) or not raw:
            self.bad(path, "sli is missing", "give sli.events with an error and a total query")
            return None
        self.known(raw, path, {"events", "raw", "plugin"})
        if raw.get("plugin") is not None:
            hint = "write the plugin's queries out under sli.events"
            self.bad((*path, "plugin"), "SLI plugins are Go code and are not supported here", hint, key=True)
            return None
        kinds = [kind for kind in ("events", "raw") if raw.get(kind) is not None]
        if len(kinds) != 1 or not isinstance(raw[kinds[0]], dict):
            self.bad(path, "sli needs exactly one of events and raw")
            return None
        names = {"events": ("error_query", "total_query"), "raw": ("error_ratio_query",)}[kinds[0]]
        self.known(raw[kinds[0]], (*path, kinds[0]), {self.case(name) for name in names})
        queries = [self._query(raw[kinds[0]], (*path, kinds[0]), self.case(name)) for name in names]
        if not all(queries):
            return None
        return Sli(error=queries[0], total=queries[1]) if kinds[0] == "events" else Sli(error_ratio=queries[0])

    def _query(self, raw: dict[str, Any], path: Path, key: str) -> str:
        value = raw.get(key)
        if not isinstance(value, str) or not value.strip():
            self.bad((*path, key), f"{key} is missing")
            return ""
        if not _WINDOW.search(value):
            self.bad((*path, key), f"{key} has no '{WINDOW}' as range", "write rate(metric[{{.window}}])")
            return ""
        return _WINDOW.sub(WINDOW, value.strip())

    def _alerting(self, raw: Any, path: Path) -> Alerting:
        if raw is None:
            return Alerting()
        if not isinstance(raw, dict):
            self.bad(path, "alerting must be a mapping")
            return Alerting()
        page, ticket = self.case("page_alert"), self.case("ticket_alert")
        self.known(raw, path, {"name", "labels", "annotations", page, ticket})
        return Alerting(
            name=str(raw.get("name") or ""),
            labels=self.labels(raw.get("labels"), (*path, "labels")),
            annotations=self.labels(raw.get("annotations"), (*path, "annotations")),
            page=self._settings(raw.get(page), (*path, page)),
            ticket=self._settings(raw.get(ticket), (*path, ticket)),
        )

    def _settings(self, raw: Any, path: Path) -> AlertSettings:
        if raw is None:
            return AlertSettings()
        if not isinstance(raw, dict):
            self.bad(path, f"{path[-1]} must be a mapping")
            return AlertSettings()
        self.known(raw, path, {"disable", "labels", "annotations"})
        if not isinstance(raw.get("disable", False), bool):
            self.bad((*path, "disable"), "disable must be true or false")
        return AlertSettings(
            disable=raw.get("disable") is True,
            labels=self.labels(raw.get("labels"), (*path, "labels")),
            annotations=self.labels(raw.get("annotations"), (*path, "annotations")),
        )
