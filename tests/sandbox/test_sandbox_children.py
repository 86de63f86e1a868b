"""What a forked child of init tells is read until its end; one that does not end is killed. In a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, os, sys, time
from pathlib import Path
from drill.target.sandbox.children import Children

async def main(log):
    children, kept = Children(), os.open("/dev/null", os.O_RDONLY)
    children.install(asyncio.get_running_loop())
    said = await children.told_by(lambda out: os.write(out, b"x" * 200_000), log, 20)
    print(len(said))
    said = await children.told_by(lambda out: os.write(out, str(os.fstat(kept).st_rdev > 0).encode()), log, 20, [kept])
    print(said.decode())
    began = time.monotonic()
    try:
        await children.told_by(lambda out: time.sleep(60), log, 0.2)
    except TimeoutError:
        print("late", time.monotonic() - began < 15)
    said = await children.told_by(lambda out: 1 / 0, log, 20)
    print(said, "ZeroDivisionError" in log.read_text())
    await asyncio.sleep(0.2)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("nobody is left")

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_childs_words_come_whole_and_a_child_that_hangs_is_killed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == ["200000", "True", "late True", "b'' True", "nobody is left"], done.stderr
