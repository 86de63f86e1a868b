"""What kills showed: written down one by one, told in tables and one last line; of sandbox and cluster alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Result:
    """What one kill showed. ``seconds`` is the time until everything was as before.

    ``seen`` is whether a fault that was in force was noticed just before the kill; None when it was not looked for.
    """

    number: int
    fault: str
    victim: str
    seconds: float
    recovered: bool = False
    left: list[str] = field(default_factory=list)
    seen: bool | None = None


def read_results(into: Path | None) -> list[Result]:
    """Return the kills that an earlier run wrote into the file, in their order; none where there is no file."""
    if into is None or not into.exists():
        return []
    return [Result(**json.loads(text)) for text in into.read_text().splitlines()]


def note(result: Result, into: Path | None) -> None:
    """Print one kill, and write it down where there is a file for it."""
    print(line(result), flush=True)
    if into is not None:
        with into.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def line(result: Result) -> str:
    """One kill in one line."""
    how = "LEAK: " + "; ".join(result.left) if result.left else "by recover" if result.recovered else ""
    return f"{result.number:4d}  {result.fault:<40} {result.victim:<44} {result.seconds:6.2f} s  {how}".rstrip()


def table(title: str, results: Sequence[Result], key: Callable[[Result], Sequence[str]]) -> Iterator[str]:
    """Yield the rows of one table: kills, leaks, how many needed `recover`, seconds to clear."""
    yield f"{title:<44} kills  leaks  by recover    p50    p95    max"
    rows: dict[str, list[Result]] = {}
    for result in results:
        for name in key(result):
            rows.setdefault(name, []).append(result)
    for name, group in sorted(rows.items()):
        times = sorted(result.seconds for result in group)
        p50, p95 = (times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.95))
        leaks, helped = sum(bool(each.left) for each in group), sum(each.recovered for each in group)
        yield f"{name:<44} {len(group):5d}  {leaks:5d}  {helped:10d} {p50:6.2f} {p95:6.2f} {times[-1]:6.2f}"


def tell(results: Sequence[Result]) -> None:
    """Print the tables and the last line."""
    print("\n" + "\n".join(table("by fault", results, lambda each: each.fault.split("+"))))
    print("\n" + "\n".join(table("by victim", results, lambda each: [each.victim])))
    looked = [result for result in results if result.seen is not None]
    blind = {result.fault for result in looked} - {result.fault for result in looked if result.seen}
    print(f"\n{sum(bool(result.seen) for result in looked)} of {len(looked)} faults in force were seen")
    if blind:
        print(f"never seen in force, so nothing is shown about: {', '.join(sorted(blind))}")
    leaks = sum(bool(result.left) for result in results)
    worst = max((result.seconds for result in results), default=0.0)
    print(f"\n{len(results)} kills, {leaks} leaks, worst {worst:.1f} s to clear")
