"""The debrief as Markdown: short lines, readable in a terminal of 80 columns and in a pull request."""

from __future__ import annotations

from datetime import UTC, datetime

from drill.core.units import format_duration
from drill.training.debrief import Debrief, ResponderCard
from drill.training.views import PhaseTime

NAMES = {
    "effect": "Effect measured (T0)",
    "detected": "Detected",
    "acknowledged": "Acknowledged",
    "localized": "Localized",
    "mitigated": "Mitigated",
    "resolved": "Resolved",
}
MARKS = {"good": "✓ ", "look": "! ", "info": ""}


def markdown(debrief: Debrief) -> str:
    """Render the debrief for everybody who took part."""
    parts = [_head(debrief), _phases(debrief), _system(debrief), _cause(debrief), _talk(debrief)]
    parts += [_timeline(debrief), _sealed(debrief)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(debrief: Debrief) -> str:
    lines = [f"# Debrief: {debrief.title}", ""]
    if debrief.real_incident:
        lines += [f"**NOT A DRILL: {debrief.real_incident}**", ""]
    lines += [f"**{_capital(debrief.ending)}.** It was `{debrief.scenario}` on **{debrief.service}**:", ""]
    lines += [*_broken(debrief), "", f"Hypothesis: {debrief.hypothesis}"]
    if debrief.escalations:
        lines += ["", f"Escalated with: {', '.join(debrief.escalations)}."]
    return "\n".join(lines)


def _broken(debrief: Debrief) -> list[str]:
    if not debrief.injections:
        return ["- nothing was broken"]
    return [f"- {', '.join(one.replicas)}: {one.what or one.fault}" for one in debrief.injections]


def _phases(debrief: Debrief) -> str:
    rows = ["## Phases", "", "Targets are something to aim at, not grades.", ""]
    rows += ["| phase | after T0 | target | |", "|---|---|---|---|"]
    rows += [_phase(phase) for phase in debrief.phases]
    if debrief.paused_s:
        rows += ["", f"The clock stood for {_s(debrief.paused_s)} in all; times above include that."]
    if debrief.fast_forward != 1:
        rows += ["", f"Alert windows ran {debrief.fast_forward:g} times faster than in production; people did not."]
    return "\n".join(rows)


def _phase(phase: PhaseTime) -> str:
    after = "not reached" if phase.after_s is None else f"+{_s(phase.after_s)}"
    target = "" if phase.target_s is None else f"+{_s(phase.target_s)}"
    return f"| {NAMES[phase.name]} | {after} | {target} | {phase.note} |"


def _system(debrief: Debrief) -> str:
    lines = ["## The system's card", "", "About alerts, pages, runbooks and services; not about a person.", ""]
    lines += [f"- {MARKS[one.mark]}**{one.about}:** {one.text}" for one in debrief.system]
    return "\n".join(lines)


def _cause(debrief: Debrief) -> str:
    lines = ["## The cause", ""]
    where = f" at **{debrief.component}**" if debrief.component else ""
    lines.append(f"It was **{debrief.cause or 'not written down in the scenario'}**{where}.")
    for said in debrief.suspicions:
        lines += ["", f'- +{_s(said.after_page_s)} after the page: "{said.text}": **{said.outcome}**: {said.why}']
    if not debrief.suspicions:
        lines += ["", "No cause was stated."]
    if debrief.hints:
        lines += ["", "Hints that were given:", "", *(f"- {hint}" for hint in debrief.hints)]
    return "\n".join(lines)


def _talk(debrief: Debrief) -> str:
    lines = ["## To talk about", "", *(f"- {question}" for question in debrief.questions)]
    if debrief.actions:
        lines += ["", "Draft actions (give each an owner and a date, or strike it out):", ""]
        lines += [f"- [ ] {action}" for action in debrief.actions]
    return "\n".join(lines)


def _timeline(debrief: Debrief) -> str:
    rows = ["## Timeline", "", "| UTC | who | what |", "|---|---|---|"]
    rows += [f"| {_clock(line.at)} | {line.who} | {_cell(line.what)} |" for line in debrief.timeline]
    return "\n".join(rows)


def _sealed(debrief: Debrief) -> str:
    return (
        "## What was sealed at the start\n\n"
        f"Commitment: `{debrief.commitment}`\n\n"
        f"Nonce: `{debrief.nonce}`, seed {debrief.seed}. `drill debrief {debrief.session} --check` computes it "
        "again from nonce, seed, parameters and the scenario file's hash."
    )


def card(own: ResponderCard) -> str:
    """Render the responder's own card."""
    lines = ["# Your card", "", "For you alone. Nobody else gets it, nothing is compared.", ""]
    for name, after_s in (
        ("Acknowledged", own.acknowledged_after_s),
        ("Cause found", own.localized_after_s),
        ("Users well again", own.mitigated_after_s),
    ):
        lines.append(f"- {name}: {'not this time' if after_s is None else f'{_s(after_s)} after the page'}")
    lines.append(f"- Stated causes: {own.suspicions}; hints: {own.hints}; commands that looked: {own.looks}")
    lines += [f"- You changed: `{text}`" for text in own.acts]
    if own.went_well:
        lines += ["", "## Went well", "", *(f"- {text}" for text in own.went_well)]
    if own.try_next:
        lines += ["", "## To try next time", "", *(f"- {text}" for text in own.try_next)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _s(seconds: float) -> str:
    return format_duration(round(seconds, 1 if seconds < 10 else 0)) if seconds >= 0.05 else "0s"
