"""Judging the faults: done, shown, taken back, nothing left. A fault that was not shown proves nothing later."""

from __future__ import annotations

from drill.core.actions import is_deed, place_of
from drill.core.labels import Labels
from drill.journal.events import ActionDone, ActionFailed, CleanChecked, EffectMeasured, Recovered, UndoRecorded
from drill.plan.model import PlannedInjection, PredictedAlert
from drill.verify.model import JudgedInjection, MeasuredEffect
from drill.verify.record import Record


def judge_injection(record: Record, planned: PlannedInjection) -> JudgedInjection:
    """Say what is proven of *planned*; ``problem`` names the first thing that is not."""
    effective, ended, clean = record.effective(planned.id), record.ended(planned.id), last_clean(record, planned.id)
    done = [e for e in record.all(ActionDone) if e.injection == planned.id and is_deed(e.action)]
    judged = JudgedInjection(
        id=planned.id,
        fault=planned.fault,
        backend=planned.backend,
        replicas=planned.replicas,
        applied_at=min(e.done_at for e in done) + record.skew if done else None,
        first_touch=effective.first_touch + record.skew if effective else None,
        effective_at=effective.since + record.skew if effective else None,
        effects=_effects(record, planned.id),
        reverted_at=ended.last + record.skew if ended else None,
        clean=clean.clean if clean else None,
        differences=clean.differences if clean else (),
    )
    return judged.with_(problem=_problem(record, judged))


def last_clean(record: Record, injection: str) -> CleanChecked | None:
    """The last comparison with the state from before *injection*, or None."""
    return next((e for e in reversed([*record.all(CleanChecked)]) if e.injection == injection), None)


def _effects(record: Record, injection: str) -> tuple[MeasuredEffect, ...]:
    """The last measurement at each replica while the fault was in place."""
    ended = record.ended(injection)
    last: dict[str, MeasuredEffect] = {}
    for e in record.all(EffectMeasured):
        if e.injection != injection or (ended and e.seq > ended.seq):
            continue
        last[e.replica] = MeasuredEffect(
            replica=e.replica,
            measured=e.measured,
            baseline=e.baseline,
            expected=e.expected,
            unit=e.unit,
            holds=e.holds,
        )
    return tuple(last[name] for name in sorted(last))


def _problem(record: Record, judged: JudgedInjection) -> str:
    failed = unrepaired_failure(record, judged.id)
    if failed:
        return f"injection {judged.id}: an action failed at {place_of(failed.action)}: {failed.error}"
    if judged.applied_at is None:
        return f"injection {judged.id}: no action of it was done"
    weak = [effect.replica for effect in judged.effects if not effect.holds]
    if weak:
        return f"injection {judged.id}: its effect was too weak at {', '.join(weak)}"
    if not judged.effect_holds:
        return f"injection {judged.id}: its effect was never measured at all of its replicas"
    if judged.reverted_at is None:
        return f"injection {judged.id}: nothing shows that it was taken back"
    if judged.clean is None:
        return f"injection {judged.id}: nobody checked that nothing of it is left"
    return ""


def unrepaired_failure(record: Record, injection: str) -> ActionFailed | None:
    """The first deed of *injection* that failed and was not done later; a failed undo is judged by its traces."""
    done = [e for e in record.all(ActionDone) if e.injection == injection]
    for failed in record.all(ActionFailed):
        if failed.injection != injection or not is_deed(failed.action):
            continue
        if not any(d.seq > failed.seq and d.action == failed.action for d in done):
            return failed
    return None


def leftovers(record: Record, injections: tuple[JudgedInjection, ...], finished: bool) -> tuple[str, ...]:
    """Name what may still be in place: found differences, undos that did not work, undos nobody did."""
    recovered = record.last(Recovered)
    if recovered is not None:
        return tuple(f"recovery could not remove {what}" for what in recovered.remaining)
    out = [left_behind(injection) for injection in injections if injection.clean is False]
    if finished:
        return tuple(out)
    begun = dict.fromkeys(event.injection for event in record.all(UndoRecorded))
    clean = {i.id for i in injections if i.clean}
    return (*out, *(f"the undo of injection {name} is not in the journal: run `drill recover`"
                    for name in begun if name not in clean))  # fmt: skip


def left_behind(injection: JudgedInjection) -> str:
    """Say what the comparison with the state before *injection* found."""
    return f"injection {injection.id} left something behind: {', '.join(injection.differences) or 'not clean'}"


def causes_of(record: Record, predicted: PredictedAlert | None, match: Labels) -> tuple[PlannedInjection, ...]:
    """The injections that should make an alert fire, by start; all of them where the plan does not say which."""
    plan = record.plan
    sloth_id = (predicted.sloth_id if predicted else "") or match.get("sloth_id", "")
    named = {impact.injection for impact in plan.impacts if impact.sloth_id == sloth_id}
    found = [injection for injection in plan.injections if injection.id in named]
    if predicted is not None and found:
        later = [injection for injection in found if injection.at_s >= predicted.starts_at_s - 0.001]
        found = later or found
    return tuple(sorted(found or plan.injections, key=lambda injection: injection.at_s))
