"""How long the sandbox takes from nothing to the first stored sample, and how much memory it needs (PSS).

python bench/sandbox_start.py [--repeat N] [--settle SECONDS]
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path

from drill.target.sandbox import SINK_URL, Sandbox, SandboxSpec, leftovers, programs

RULES = """
groups:
  - name: load
    rules:
      - record: slo:sli_error:ratio_rate5m
        expr: >-
          sum(rate(http_request_duration_seconds_count{code=~"5.."}[5s]))
          / sum(rate(http_request_duration_seconds_count[5s]))
"""
ALERTMANAGER = f"""
route: {{receiver: log}}
receivers: [{{name: log, webhook_configs: [{{url: "{SINK_URL}/log"}}]}}]
"""
BUDGET_MIB = 700


def pss_mib(pid: int) -> float:
    """Proportional set size: shared pages are counted once over all who share them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def memory_by_name(sandbox: str) -> dict[str, float]:
    """PSS in MiB by process name, replicas and helpers summed up."""
    table: dict[str, float] = {}
    for pid in leftovers.processes(sandbox):
        try:
            name = re.sub(r"-\d$", "", Path(f"/proc/{pid}/comm").read_text().strip())
            table[name] = table.get(name, 0.0) + pss_mib(pid)
        except OSError:
            continue  # ended meanwhile
    return table


def once(settle_s: float) -> tuple[float, float, dict[str, float]]:
    """Start, settle, measure, close: seconds to ready, seconds to close, memory."""
    began = time.perf_counter()
    with Sandbox.start(SandboxSpec(rules=RULES, alertmanager=ALERTMANAGER)) as sandbox:
        ready = time.perf_counter() - began
        time.sleep(settle_s)
        memory = memory_by_name(sandbox.id)
        closing = time.perf_counter()
    return ready, time.perf_counter() - closing, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--settle", type=float, default=5.0)
    options = parser.parse_args()
    budget_s = 4.0 if programs.is_prometheus_3(programs.find("prometheus")) else 8.0
    runs = [once(options.settle) for _ in range(options.repeat)]
    starts = [ready for ready, _, _ in runs]
    total = max(sum(memory.values()) for _, _, memory in runs)
    print(
        f"start to first stored sample: median {statistics.median(starts):.2f} s, max {max(starts):.2f} s "
        f"(budget {budget_s:g} s)"
    )
    print(f"close and verify: max {max(close for _, close, _ in runs):.2f} s")
    print(f"memory (PSS): {total:.0f} MiB (budget {BUDGET_MIB} MiB)")
    for name, mib in sorted(runs[-1][2].items(), key=lambda item: -item[1]):
        print(f"  {name:<16} {mib:7.1f} MiB")


if __name__ == "__main__":
    main()
