"""Judging a run: pure functions of plan and journal. ``judge`` is the whole of it; nothing here acts or looks."""

from drill.verify.judge import judge
from drill.verify.model import AlertVerdict, Evidence, JudgedAlert, JudgedInjection, Verdict

__all__ = ["AlertVerdict", "Evidence", "JudgedAlert", "JudgedInjection", "Verdict", "judge"]
