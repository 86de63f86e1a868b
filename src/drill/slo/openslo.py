"""Reading OpenSLO ``openslo/v1`` documents, as far as burn-rate alerts on Prometheus can express them.

Owns that form: SLO, SLI, Service, DataSource, AlertPolicy, AlertCondition; AlertNotificationTarget is read and
left to Alertmanager's routes. What becomes of it: every objective is one SLO of drill's; ``good``/``total``,
``bad``/``total`` and ``raw`` queries in PromQL, with ``{{.window}}`` as range or as plain counters; a rolling
window is the budget's period. OpenSLO's alert condition has one window where burn-rate alerts have two: a
condition is taken when factor and window are one of drill's pairs, whose short window comes with it.
Refuses, each at its place: thresholdMetric and time slices (they count time, not events), calendar windows,
other sources than Prometheus, other conditions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drill.core.problems import Problem, did_you_mean
from drill.core.units import parse_duration
from drill.slo.model import DEFAULT_PERIOD_S, WINDOW, Alerting, AlertSettings, Sli, Slo
from drill.slo.positions import Document, Path
from drill.slo.reading import DocumentReader

VERSION = "openslo/v1"
KINDS = {"SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"}
CONDITIONS = {(14.4, 3600.0): "page", (6.0, 21600.0): "ticket", (1.0, 259200.0): "log"}
"""(threshold, lookback window in s) of the conditions that are one of drill's window pairs."""

_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
_RANGE = re.compile(r"\[[0-9][0-9a-z]*\]")
_WORD = re.compile(r"[^a-zA-Z0-9]+")
_SLO = {"description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod", "objectives",
        "alertPolicies"}  # fmt: skip
_OBJECTIVE = {"displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow"}
_RATIO = {"counter", "good", "bad", "total", "raw", "rawType"}


def is_openslo(data: object) -> bool:
    """True when a document calls itself one of OpenSLO's, of any version."""
    return isinstance(data, Mapping) and str(data.get("apiVersion", "")).startswith("openslo")


class _Found(NamedTuple):
    """An object, wherever it stands: the reader of its document, its data, its path there."""

    reader: DocumentReader
    data: dict[str, Any]
    path: Path


@dataclass
class Catalog:
    """All OpenSLO documents of all files, by kind and name: references may cross files."""

    readers: list[DocumentReader] = field(default_factory=list)
    known: dict[tuple[str, str], _Found] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        """Take in one document."""
        reader, data = DocumentReader(document), document.data
        self.readers.append(reader)
        if data.get("apiVersion") != VERSION:
            reader.bad(("apiVersion",), f"apiVersion is '{data.get('apiVersion')}', known is '{VERSION}'")
            return
        kind = str(data.get("kind"))
        if kind not in KINDS:
            reader.bad(("kind",), f"kind '{kind}' is not OpenSLO's", did_you_mean(kind, KINDS))
            return
        reader.known(data, (), {"apiVersion", "kind", "metadata", "spec"})
        metadata = reader.mapping(data, (), "metadata")
        name = reader.name(metadata, ("metadata",), "name") if metadata else ""
        if name and (kind, name) in self.known:
            reader.bad(("metadata", "name"), f"the {kind} '{name}' is defined twice")
        elif name:
            self.known[kind, name] = _Found(reader, data, ())

    def read(self) -> tuple[list[Slo], list[Problem]]:
        """Return every SLO that can be expressed, and all problems."""
        slos: list[Slo] = []
        for (kind, _), found in list(self.known.items()):
            if kind == "SLO":
                slos += _SloReader(self, found).read()
        return slos, [problem for reader in self.readers for problem in reader.problems]

    def resolve(self, kind: str, name: str) -> _Found | None:
        """Return the object of *kind* called *name*, or None."""
        return self.known.get((kind, name))


class _SloReader:
    """Reads one SLO with all it refers to."""

    def __init__(self, catalog: Catalog, found: _Found) -> None:
        self.catalog, self.reader, self.data = catalog, found.reader, found.data

    def _count(self) -> int:
        return sum(len(reader.problems) for reader in self.catalog.readers)

    def read(self) -> list[Slo]:
        before, reader, path = self._count(), self.reader, ("spec",)
        spec = reader.mapping(self.data, (), "spec")
        if not spec:
            return []
        reader.known(spec, path, _SLO)
        name = str(self.data["metadata"]["name"])
        service = reader.name(spec, path, "service")
        if spec.get("budgetingMethod", "Occurrences") != "Occurrences":
            hint = "time slices count time: burn-rate alerts need budgetingMethod: Occurrences"
            reader.bad(
                (*path, "budgetingMethod"), f"budgetingMethod '{spec['budgetingMethod']}' is not supported", hint
            )
        period_s = self._period(spec)
        sli = self._indicator(spec)
        labels = self._labels()
        alerting = self._alerting(spec)
        objectives = self._objectives(spec, name)
        if self._count() > before or sli is None:
            return []
        line = reader.document.place(("metadata", "name"))[0]
        description = str(spec.get("description") or self.data["metadata"].get("displayName") or "").strip()
        return [
            Slo(
                service=service, name=each, description=description, objective_percent=percent, sli=sli,
                labels=labels, alerting=alerting, period_s=period_s, file=reader.document.file, line=line,
            )
            for each, percent in objectives
        ]  # fmt: skip

    def _labels(self) -> dict[str, str]:
        """Return metadata's labels; a list of values becomes one, joined by commas."""
        raw = self.reader.mapping(self.data["metadata"], ("metadata",), "labels", required=False)
        joined = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in raw.items()}
        return self.reader.labels(joined, ("metadata", "labels"))

    def _period(self, spec: dict[str, Any]) -> float:
        path: Path = ("spec", "timeWindow")
        windows = spec.get("timeWindow")
        if windows is None:
            return DEFAULT_PERIOD_S
        if not isinstance(windows, list) or len(windows) != 1 or not isinstance(windows[0], dict):
            self.reader.bad(path, "timeWindow must be a list with exactly one window")
            return DEFAULT_PERIOD_S
        (window,) = windows
        self.reader.known(window, (*path, 0), {"duration", "isRolling", "calendar"})
        if window.get("calendar") is not None or window.get("isRolling") is not True:
            hint = "write isRolling: true with a duration in days or weeks, like 30d or 4w"
            self.reader.bad((*path, 0), "only rolling windows have a budget that burn rates speak of", hint)
            return DEFAULT_PERIOD_S
        return self._duration(self.reader, window, (*path, 0), "duration") or DEFAULT_PERIOD_S

    @staticmethod
    def _duration(reader: DocumentReader, raw: dict[str, Any], path: Path, key: str) -> float:
        text = str(raw.get(key) or "")
        if re.fullmatch(r"\d+[MQY]", text):
            reader.bad((*path, key), f"{key} '{text}' has no fixed length", "write it in days, like 30d")
            return 0.0
        try:
            return parse_duration(text)
        except ValueError as error:
            reader.bad((*path, key), str(error))
            return 0.0

    def _objectives(self, spec: dict[str, Any], name: str) -> list[tuple[str, str]]:
        """Return (name, percentage) of every objective; several get their display name, or number, behind."""
        path, reader = ("spec", "objectives"), self.reader
        raw = spec.get("objectives")
        if not isinstance(raw, list) or not raw:
            reader.bad(path, "objectives must be a list with at least one objective")
            return []
        out = []
        for index, each in enumerate(raw):
            at: Path = (*path, index)
            if not isinstance(each, dict):
                reader.bad(at, "an objective must be a mapping with target or targetPercent")
                continue
            reader.known(each, at, _OBJECTIVE)
            for key in ("op", "value", "timeSliceTarget", "timeSliceWindow"):
                if key in each:
                    reader.bad((*at, key), f"{key} is for threshold metrics and time slices", key=True)
            keys = [key for key in ("target", "targetPercent") if key in each]
            if len(keys) != 1:
                reader.bad(at, "an objective needs exactly one of target and targetPercent")
                continue
            percent = reader.percentage(each, at, keys[0], 100 if keys[0] == "target" else 1)
            about = _WORD.sub("-", str(each.get("displayName") or index + 1)).strip("-").lower()
            out.append((name if len(raw) == 1 else f"{name}-{about}", percent))
        return out

    def _indicator(self, spec: dict[str, Any]) -> Sli | None:
        ref, inline = spec.get("indicatorRef"), spec.get("indicator")
        if (ref is None) == (inline is None):
            self.reader.bad(("spec",), "an SLO needs exactly one of indicator and indicatorRef")
            return None
        found = _Found(self.reader, spec, ("spec",))
        if ref is not None:
            referred = self._referred("SLI", str(ref), _Found(self.reader, spec, ("spec", "indicatorRef")))
            if referred is None:
                return None
            found = referred
        else:
            indicator = self.reader.mapping(spec, ("spec",), "indicator")
            found = _Found(self.reader, indicator, ("spec", "indicator"))
        inner = found.reader.mapping(found.data, found.path, "spec")
        at: Path = (*found.path, "spec")
        found.reader.known(inner, at, {"description", "thresholdMetric", "ratioMetric"})
        if inner.get("thresholdMetric") is not None:
            hint = "a threshold counts time, not requests: count good and all events in a ratioMetric"
            found.reader.bad((*at, "thresholdMetric"), "thresholdMetric is not supported", hint, key=True)
            return None
        ratio = found.reader.mapping(inner, at, "ratioMetric") if inner else {}
        return self._ratio(_Found(found.reader, ratio, (*at, "ratioMetric"))) if ratio else None

    def _ratio(self, found: _Found) -> Sli | None:
        reader, raw, path = found
        reader.known(raw, path, _RATIO)
        given = [kind for kind in ("good", "bad", "total", "raw") if raw.get(kind) is not None]
        if given == ["raw"]:
            return self._raw(found)
        if given not in (["good", "total"], ["bad", "total"]):
            reader.bad(path, "ratioMetric needs good and total, bad and total, or raw")
            return None
        counter = reader.flag(raw, path, "counter", True)
        part, total = (self._query(found, kind, "rate" if counter else "sum_over_time") for kind in given)
        if not part or not total:
            return None
        return Sli(error=part if given[0] == "bad" else f"{total}\n-\n{part}", total=total)

    def _raw(self, found: _Found) -> Sli | None:
        kind = found.data.get("rawType")
        if kind not in ("success", "failure"):
            found.reader.bad((*found.path, "rawType"), "raw needs rawType: success or failure")
            return None
        query = self._query(found, "raw", "avg_over_time")
        return Sli(error_ratio=query if kind == "failure" else f"1 - ({query})") if query else None

    def _query(self, found: _Found, kind: str, function: str) -> str:
        """Return the PromQL under *kind* with a window; a plain selector gets *function* over it."""
        reader, path = found.reader, (*found.path, kind)
        outer = reader.mapping(found.data, found.path, kind)
        source = reader.mapping(outer, path, "metricSource") if outer else {}
        at: Path = (*path, "metricSource")
        if not source or not self._is_prometheus(reader, source, at):
            return ""
        spec = reader.mapping(source, at, "spec")
        query = reader.text(spec, (*at, "spec"), "query") if spec else ""
        if not query:
            return ""
        if _WINDOW.search(query):
            return _WINDOW.sub(WINDOW, query)
        place: Path = (*at, "spec", "query")
        fixed = _RANGE.search(query)
        if fixed:
            hint = f"write [{WINDOW}] instead: each rule has its own window"
            reader.bad(place, f"the query has a fixed range {fixed[0]}", hint)
            return ""
        if reader.selector(query, place) is None:
            return ""
        inner = f"{function}({query}[{WINDOW}])"
        return f"avg({inner})" if function == "avg_over_time" else f"sum({inner})"

    def _is_prometheus(self, reader: DocumentReader, source: dict[str, Any], path: Path) -> bool:
        reader.known(source, path, {"metricSourceRef", "type", "spec"})
        kind, ref = source.get("type"), source.get("metricSourceRef")
        if kind is None and ref is not None:
            found = self._referred("DataSource", str(ref), _Found(reader, source, (*path, "metricSourceRef")))
            if found is None:
                return False
            kind = found.reader.mapping(found.data, found.path, "spec").get("type")
        if str(kind).lower() != "prometheus":
            at = (*path, "type") if "type" in source else path
            reader.bad(at, f"metric source of type '{kind}': only Prometheus can be drilled")
            return False
        return True

    def _referred(self, kind: str, name: str, at: _Found) -> _Found | None:
        found = self.catalog.resolve(kind, name)
        if found is None:
            names = [known for known_kind, known in self.catalog.known if known_kind == kind]
            at.reader.bad(at.path, f"there is no {kind} '{name}' in these files", did_you_mean(name, names))
        return found

    def _alerting(self, spec: dict[str, Any]) -> Alerting:
        raw = spec.get("alertPolicies") or []
        if not isinstance(raw, list):
            self.reader.bad(("spec", "alertPolicies"), "alertPolicies must be a list")
            return Alerting()
        policies = [self._object("AlertPolicy", each, index) for index, each in enumerate(raw)]
        found = [policy for policy in policies if policy is not None]
        wanted: set[str] = set()
        name, no_data = "", False
        for policy in found:
            name = name or _camel(policy)
            inner = policy.reader.mapping(policy.data, policy.path, "spec")
            no_data = no_data or inner.get("alertWhenNoData") is True
            if inner.get("alertWhenBreaching", True) is not False:
                wanted |= self._conditions(policy, inner)
        page, ticket, log = (AlertSettings(disable=each not in wanted) for each in ("page", "ticket", "log"))
        return Alerting(name=name, page=page, ticket=ticket, log=log, no_traffic=no_data)

    def _object(self, kind: str, raw: Any, index: int) -> _Found | None:
        at: Path = ("spec", "alertPolicies", index)
        if not isinstance(raw, dict):
            raw = {"alertPolicyRef": raw} if isinstance(raw, str) else {}
        if "alertPolicyRef" in raw:
            place = (*at, "alertPolicyRef") if (*at, "alertPolicyRef") in self.reader.document.places else at
            return self._referred(kind, str(raw["alertPolicyRef"]), _Found(self.reader, raw, place))
        return _Found(self.reader, raw, at)

    def _conditions(self, policy: _Found, spec: dict[str, Any]) -> set[str]:
        path: Path = (*policy.path, "spec", "conditions")
        raw = spec.get("conditions")
        if not isinstance(raw, list) or len(raw) != 1 or not isinstance(raw[0], dict):
            policy.reader.bad(path, "an AlertPolicy has exactly one condition")
            return set()
        found: _Found | None = _Found(policy.reader, raw[0], (*path, 0))
        if "conditionRef" in raw[0]:
            place = _Found(policy.reader, raw[0], (*path, 0, "conditionRef"))
            found = self._referred("AlertCondition", str(raw[0]["conditionRef"]), place)
        return self._condition(found) if found is not None else set()

    def _condition(self, found: _Found) -> set[str]:
        reader = found.reader
        spec = reader.mapping(found.data, found.path, "spec")
        at: Path = (*found.path, "spec", "condition")
        condition = reader.mapping(spec, (*found.path, "spec"), "condition") if spec else {}
        if not condition:
            return set()
        reader.known(condition, at, {"kind", "op", "threshold", "lookbackWindow", "alertAfter"})
        if str(condition.get("kind", "burnrate")).lower() != "burnrate":
            reader.bad((*at, "kind"), f"condition '{condition['kind']}' is not supported, known is 'burnrate'")
            return set()
        if condition.get("op") not in (None, "gt", "gte"):
            reader.bad((*at, "op"), "a burn rate alerts when it is above its threshold: op gt or gte")
        after = str(condition.get("alertAfter") or "0m")
        if not re.fullmatch(r"0[a-z]?", after):
            hint = "write 0m: the short window of the pair keeps a blip from paging"
            reader.bad((*at, "alertAfter"), f"alertAfter {after} cannot be expressed", hint)
        window_s = self._duration(reader, condition, at, "lookbackWindow")
        factor = condition.get("threshold")
        severity = CONDITIONS.get((float(factor), window_s)) if isinstance(factor, int | float) else None
        if severity is None and window_s:
            pairs = ", ".join(f"{f:g} over {_words(w)}" for f, w in CONDITIONS)
            reader.bad(at, f"no window pair has threshold {factor} over {condition['lookbackWindow']}", pairs)
        return {severity} if severity else set()


def _words(seconds: float) -> str:
    return f"{seconds / 86400:g}d" if seconds >= 86400 else f"{seconds / 3600:g}h"


def _camel(policy: _Found) -> str:
    """Return an alert name made of a policy's name: ``BudgetGone`` of ``budget-gone``."""
    metadata = policy.data.get("metadata")
    name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
    if not name:
        policy.reader.bad(policy.path, "an AlertPolicy needs metadata.name: it names the alert")
    return "".join(part[:1].upper() + part[1:] for part in _WORD.split(name))


def read_openslo(documents: Sequence[Document]) -> tuple[list[Slo], list[Problem]]:
    """Read all OpenSLO *documents* together."""
    catalog = Catalog()
    for document in documents:
        catalog.add(document)
    return catalog.read()
