"""The phases of the incident, truthfully: what was measured, against the scenario's targets. Pure.

A phase that was not reached stays open. A fault that merely expired was not mitigated, however well all is now.
"""

from __future__ import annotations

from drill.training.state import State
from drill.training.views import PhaseTime


def phases_of(state: State) -> tuple[PhaseTime, ...]:
    """Return the six phases in order; seconds count from the measured effect."""
    targets = state.script.targets
    page_after = max(0.0, state.paged_at - _zero(state)) if state.paged_at else 0.0

    def from_page(target_s: float | None) -> float | None:
        return None if target_s is None else target_s + page_after

    told = state.script.mode == "tabletop"
    return (
        _phase(state, "effect", _zero(state), None, "told" if told else "measured at every replica"),
        _detected(state, told),
        _phase(state, "acknowledged", state.acknowledged_at, from_page(targets.acknowledge_s)),
        _phase(state, "localized", state.localized_at, from_page(targets.localize_s), _localized(state)),
        _phase(state, "mitigated", state.mitigated_at, from_page(targets.mitigate_s), _mitigated(state)),
        _phase(state, "resolved", resolved_at(state), None, _resolved(state)),
    )


def _zero(state: State) -> float:
    return state.paged_at if state.script.mode == "tabletop" else state.effect_at


def _phase(state: State, name: str, at: float, target_s: float | None, note: str = "") -> PhaseTime:
    zero = _zero(state)
    return PhaseTime.model_validate(
        {
            "name": name,
            "at": at,
            "after_s": max(0.0, at - zero) if at and zero else None,
            "target_s": target_s,
            "note": note if at or state.over_at else "",
        }
    )


def _detected(state: State, told: bool) -> PhaseTime:
    if told:
        return _phase(state, "detected", state.paged_at, None, "the page was told")
    note = "first expected alert, server's time" if state.detected_at else "no expected alert fired"
    return _phase(state, "detected", state.detected_at, state.script.targets.detect_s, note)


def _localized(state: State) -> str:
    if state.localized_at:
        return f"{_ordinal(state)} suspicion was right"
    return f"{len(state.suspicions)} suspicions, none right" if state.suspicions else "no cause was stated"


def _ordinal(state: State) -> str:
    number = next(index for index, one in enumerate(state.grades, 1) if one.outcome == "right")
    return {1: "the first", 2: "the second", 3: "the third"}.get(number, f"number {number}")


def _mitigated(state: State) -> str:
    if state.mitigation_told:
        return "as was said; nothing is measured in a tabletop"
    if state.mitigated_at:
        ended = all(one.removed_by == "responder" for one in state.injections.values())
        return (
            "what the responder did ended the fault" if ended else "users well while the fault was still in place"
        )
    if state.ending == "limit":
        return "fault expired, not mitigated"
    if state.ever_unhealthy and state.healthy_since and not state.acts:
        return "not mitigated: users were well again without any act of the responder"
    return "not mitigated"


def resolved_at(state: State) -> float:
    """When the last expected alert was over and the last fault gone; 0 when that was not seen."""
    spans, gone = state.expected_spans(), [one.ended_at for one in state.injections.values()]
    if state.script.mode == "tabletop" or not gone or not all(gone) or not spans or any(one.open for one in spans):
        return 0.0
    return max(*(span.end - state.skew_s for span in spans), *gone)


def _resolved(state: State) -> str:
    if state.script.mode == "tabletop":
        return "nothing to resolve in a tabletop"
    return "alerts resolved and fault gone" if resolved_at(state) else "not seen before the session ended"
