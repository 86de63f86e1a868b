"""Reading Pyrra's ``ServiceLevelObjective`` (``pyrra.dev/v1alpha1``), all four kinds of indicator.

Owns that form. What becomes of it: ``metadata.name`` is the SLO's name; its service is the label
``pyrra.dev/service``, else the ``job`` its total query fixes, else the name; labels and annotations with the
prefix ``pyrra.dev/`` go to rules and alerts without it, as Pyrra does; ``window`` is the budget's period;
``grouping`` keeps its labels on every recorded ratio; ``alerting.absent`` decides about the NoTraffic alert.
Refuses what Pyrra refuses: selectors that are none, a latency without a bucket, more than one indicator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from drill.core.units import parse_duration
from drill.slo.model import WINDOW, Alerting, AlertSettings, Sli, Slo
from drill.slo.positions import Path
from drill.slo.reading import LABEL, DocumentReader, by, equal_labels

VERSION = "pyrra.dev/v1alpha1"
KIND = "ServiceLevelObjective"
PREFIX = "pyrra.dev/"
DEFAULT_ALERT = "ErrorBudgetBurn"
"""Pyrra's own default for ``alerting.name``."""

_SPEC = {"description", "target", "window", "indicator", "alerting", "partial_response_strategy",
         "performance_over_accuracy"}  # fmt: skip
_ALERTING = {"disabled", "burnrates", "absent", "name", "absentName", "severities", "type"}
_INDICATORS = ("ratio", "latency", "latencyNative", "bool_gauge", "boolGauge")
_NUMBER = re.compile(r"\d+(\.\d+)?")


def is_pyrra(data: object) -> bool:
    """True when a document calls itself one of Pyrra's."""
    return isinstance(data, Mapping) and str(data.get("apiVersion", "")).startswith(PREFIX)


class _Indicator(NamedTuple):
    sli: Sli
    fixed: dict[str, str]
    """Labels the total query fixes by ``=``."""


class PyrraReader(DocumentReader):
    """Reads one document."""

    def read(self) -> list[Slo]:
        """Return the document's SLO, or nothing where it has problems."""
        data = self.document.data
        if data.get("apiVersion") != VERSION:
            self.bad(("apiVersion",), f"apiVersion is '{data.get('apiVersion')}', known is '{VERSION}'")
        if data.get("kind") != KIND:
            self.bad(("kind",), f"kind is '{data.get('kind')}', known is '{KIND}'")
        self.known(data, (), {"apiVersion", "kind", "metadata", "spec", "status"})
        metadata = self.mapping(data, (), "metadata")
        name = self.name(metadata, ("metadata",), "name")
        labels = self._passed_on(metadata, "labels")
        annotations = self._passed_on(metadata, "annotations")
        spec = self.mapping(data, (), "spec")
        if not spec:
            return []
        self.known(spec, ("spec",), _SPEC)
        objective = self.percentage(spec, ("spec",), "target")
        if not self.problems and float(objective) < 1:
            hint = f"a target goes from 0 to 100: did you mean {float(objective) * 100:g}?"
            self.bad(("spec", "target"), f"a target of {objective} % promises nothing", hint)
        period_s = self._window(spec)
        indicator = self._indicator(self.mapping(spec, ("spec",), "indicator"))
        alerting = self._alerting(self.mapping(spec, ("spec",), "alerting", required=False), annotations)
        if self.problems or indicator is None:
            return []
        service = labels.pop("service", "") or indicator.fixed.get("job", "") or name
        return [
            Slo(
                service=service, name=name, description=str(spec.get("description") or "").strip(),
                objective_percent=objective, sli=indicator.sli, labels=labels, alerting=alerting,
                period_s=period_s, file=self.document.file, line=self.document.place(("metadata", "name"))[0],
            )
        ]  # fmt: skip

    def _passed_on(self, metadata: dict[str, Any], kind: str) -> dict[str, str]:
        """Return labels (or annotations) with Pyrra's prefix, without it; others are Kubernetes's business."""
        out = {}
        for key, value in self.mapping(metadata, ("metadata",), kind, required=False).items():
            name = str(key).removeprefix(PREFIX)
            if name == key:
                continue
            if not LABEL.fullmatch(name):
                self.bad(("metadata", kind, key), f"'{name}' is not a valid label name", key=True)
            out[name] = str(value)
        return out

    def _window(self, spec: dict[str, Any]) -> float:
        text = self.text(spec, ("spec",), "window")
        try:
            seconds = parse_duration(text) if text else 1.0
        except ValueError as error:
            self.bad(("spec", "window"), str(error))
            return 1.0
        if seconds <= 0:
            self.bad(("spec", "window"), "a window of 0 has no error budget")
        return seconds

    def _indicator(self, raw: dict[str, Any]) -> _Indicator | None:
        path: Path = ("spec", "indicator")
        self.known(raw, path, set(_INDICATORS))
        kinds = [kind for kind in _INDICATORS if raw.get(kind) is not None]
        if len(kinds) != 1:
            said = "no indicator" if not kinds else f"{len(kinds)} indicators"
            self.bad(path, f"{said}: give exactly one of ratio, latency, latencyNative and bool_gauge")
            return None
        kind = kinds[0]
        read = {"ratio": self._ratio, "latency": self._latency, "latencyNative": self._native}.get(
            kind, self._gauge
        )
        inner = self.mapping(raw, path, kind)
        return read(inner, (*path, kind), by(self._grouping(inner, (*path, kind)))) if inner else None

    def _grouping(self, raw: dict[str, Any], path: Path) -> list[str]:
        grouping = raw.get("grouping") or []
        if not isinstance(grouping, list):
            self.bad((*path, "grouping"), "grouping must be a list of label names")
            return []
        for index, name in enumerate(grouping):
            if not LABEL.fullmatch(str(name)):
                self.bad((*path, "grouping", index), f"'{name}' is not a valid label name")
        return sorted({str(name) for name in grouping})

    def _metric(self, raw: dict[str, Any], path: Path, key: str) -> tuple[str, Any]:
        """Return the selector under ``<key>.metric`` as text and parsed; ``("", None)`` with a note if unusable."""
        query = self.mapping(raw, path, key)
        if not query:
            return "", None
        self.known(query, (*path, key), {"metric"})
        return self._selector(query, (*path, key))

    def _selector(self, query: dict[str, Any], path: Path) -> tuple[str, Any]:
        text = self.text(query, path, "metric")
        found = self.selector(text, (*path, "metric")) if text else None
        return (text, found) if found is not None else ("", None)

    def _ratio(self, raw: dict[str, Any], path: Path, by_: str) -> _Indicator | None:
        self.known(raw, path, {"errors", "total", "grouping"})
        (errors, _), (total, parsed) = self._metric(raw, path, "errors"), self._metric(raw, path, "total")
        if errors and errors == total:
            self.bad((*path, "errors", "metric"), "errors and total are the same: every event would be bad")
        if parsed is None or not errors:
            return None
        sli = Sli(error=f"sum{by_}(rate({errors}[{WINDOW}]))", total=f"sum{by_}(rate({total}[{WINDOW}]))")
        return _Indicator(sli, equal_labels(parsed))

    def _latency(self, raw: dict[str, Any], path: Path, by_: str) -> _Indicator | None:
        """Bad is what was counted and is not in the bucket of the fast ones."""
        self.known(raw, path, {"success", "total", "grouping"})
        (success, bucket), (total, parsed) = self._metric(raw, path, "success"), self._metric(raw, path, "total")
        if bucket is not None:
            le = [matcher.value for matcher in bucket.matchers.matchers if matcher.name == "le"]
            if not le or not _NUMBER.fullmatch(le[0]):
                text = "success has no le with a number" if not le else f"le '{le[0]}' is no number"
                self.bad((*path, "success", "metric"), text, 'choose a bucket, like le="0.5"')
        if parsed is None or not success:
            return None
        all_ = f"sum{by_}(rate({total}[{WINDOW}]))"
        sli = Sli(error=f"{all_}\n-\nsum{by_}(rate({success}[{WINDOW}]))", total=all_)
        return _Indicator(sli, equal_labels(parsed))

    def _native(self, raw: dict[str, Any], path: Path, by_: str) -> _Indicator | None:
        """A native histogram knows the share below any threshold; requests it counted are the total."""
        self.known(raw, path, {"total", "latency", "grouping"})
        total, parsed = self._metric(raw, path, "total")
        text = self.text(raw, path, "latency")
        try:
            threshold_s = parse_duration(text) if text else 0.0
        except ValueError as error:
            self.bad((*path, "latency"), str(error))
            return None
        if parsed is None or not text:
            return None
        all_ = f"sum{by_}(rate({total}[{WINDOW}]))"
        counted = f"histogram_count({all_})"
        sli = Sli(error=f"(1 - histogram_fraction(0, {threshold_s:g}, {all_})) * {counted}", total=counted)
        return _Indicator(sli, equal_labels(parsed))

    def _gauge(self, raw: dict[str, Any], path: Path, by_: str) -> _Indicator | None:
        """A gauge that is 1 when all is well: bad are the samples that are 0."""
        self.known(raw, path, {"metric", "grouping"})
        text, parsed = self._selector(raw, path)
        if parsed is None:
            return None
        all_ = f"sum{by_}(count_over_time({text}[{WINDOW}]))"
        sli = Sli(error=f"{all_}\n-\nsum{by_}(sum_over_time({text}[{WINDOW}]))", total=all_)
        return _Indicator(sli, equal_labels(parsed))

    def _alerting(self, raw: dict[str, Any], annotations: dict[str, str]) -> Alerting:
        path: Path = ("spec", "alerting")
        self.known(raw, path, _ALERTING)
        for key in ("severities", "type"):
            if raw.get(key) and raw[key] != "static":
                hint = "drill's severities are page, ticket and log; map them in Alertmanager's routes"
                self.bad((*path, key), f"alerting.{key} cannot be expressed here", hint, key=True)
        disabled = self.flag(raw, path, "disabled", False)
        on = self.flag(raw, path, "burnrates", True) and not disabled
        absent = self.flag(raw, path, "absent", True) and not disabled
        off = AlertSettings(disable=not on)
        return Alerting(
            name=str(raw.get("name") or DEFAULT_ALERT), annotations=annotations, page=off, ticket=off, log=off,
            no_traffic=absent, no_traffic_name=str(raw.get("absentName") or ""),
        )  # fmt: skip
