"""Why an expected alert did not fire: what the journal shows of its rule and of its service's traffic meanwhile."""

from __future__ import annotations

from drill.core.units import format_duration
from drill.plan.model import ExpectedAlert
from drill.verify.model import AlertVerdict, Claim
from drill.verify.record import Record
from drill.verify.resolution import sloth_ids_of
from drill.verify.timing import Cause, Due


def explain_silence(record: Record, expected: ExpectedAlert, cause: Cause, due: Due, claim: Claim) -> Claim:
    """Return *claim*, or what is known better of an alert that is said never to have fired.

    Without a single request before and during the fault nobody's errors could be counted: then its silence
    shows nothing. An alert that was pending all the time names its ``for``.
    """
    if claim.verdict is not AlertVerdict.NEVER or due.interval is None:
        return claim
    labels = expected.predicted.labels if expected.predicted else expected.match
    samples = record.sli(sloth_ids_of(record, expected, labels), float("-inf"), due.interval[1])
    if samples and not any(sample.requests_per_second > 0 or sample.rates for sample in samples):
        why = "there was no traffic before or during the fault, so its silence shows nothing"
        return Claim(verdict=AlertVerdict.NO_EVIDENCE, why=why)
    if any(s.at >= cause.first_touch and not s.requests_per_second and not s.rates for s in samples):
        return Claim(verdict=claim.verdict, why=f"{claim.why}; its traffic was gone while the fault was in place")
    pending = [span for span in record.spans_of(expected.match, "pending") if span.end >= cause.first_touch]
    if pending:
        longest = format_duration(max(span.end - span.start for span in pending))
        return Claim(
            verdict=claim.verdict, why=f"{claim.why}; it was pending for {longest}: is its `for` too long?"
        )
    return claim
