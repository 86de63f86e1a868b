"""The few commands `kubectl exec` runs in a pod of the sandbox, written here so that none can leave the pod.

A pod shares the file system of the machine it runs on, so no program of the machine is run: each command below sees
``/data`` (the pod's disk), its own processes, its cgroup's counters and its network, and nothing else. Everything
else is refused with what there is. Runs in a process forked for it, in the pod's network namespace.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drill.target.sandbox.cgroups import CpuSample

DATA = "/data"
MAX_OUTPUT = 256 * 1024
MAX_FETCH_S = 10.0
Done = tuple[int, str]
"""Exit code and what was printed."""


class Complaint(Exception):
    """What the command says before it ends with code 1."""


@dataclass(frozen=True)
class PodView:
    """What a pod sees of itself: ``data`` is where its disk really lies; ``counters`` its cgroup's."""

    name: str
    data: str
    pids: tuple[int, ...]
    env: dict[str, str]
    cpu: CpuSample | None
    cpus: float
    memory: int


def run(pod: PodView, argv: Sequence[str], writer: int) -> None:
    """Run *argv* and write ``[code, output]`` as JSON to *writer*."""
    code, text = execute(pod, argv)
    view = memoryview(json.dumps([code, text[:MAX_OUTPUT]]).encode())
    while view:
        view = view[os.write(writer, view) :]
    os.close(writer)


def execute(pod: PodView, argv: Sequence[str]) -> Done:
    """Run *argv*; 127 for a command there is not, 1 for one that failed."""
    command = COMMANDS.get(argv[0].rpartition("/")[2]) if argv else None
    if command is None:
        there = ", ".join(sorted(COMMANDS))
        return 127, f"{argv[0] if argv else '(nothing)'}: not in the image; there is: {there}\n"
    try:
        return 0, command(pod, list(argv[1:]))
    except (Complaint, OSError) as error:
        return 1, f"{argv[0]}: {_words(error)}\n"


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{_shown(str(error.filename))}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _shown(path: str) -> str:
    head, found, rest = path.partition("/run/data/")
    return f"{DATA}/{rest.partition('/')[2]}".rstrip("/") if found else head


def _split(words: list[str], known: str, values: str = "") -> tuple[dict[str, str], list[str]]:
    """Return the short options in *words* (those in *values* take one) and the operands."""
    options: dict[str, str] = {}
    operands: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if not word.startswith("-") or word == "-":
            operands.append(word)
            continue
        for letter in word.lstrip("-"):
            if letter in values:
                options[letter] = next(waiting, "")
            elif letter in known:
                options[letter] = ""
            else:
                raise Complaint(
                    f"the option {word} is not known here; there is: {' '.join('-' + x for x in known + values)}"
                )
    return options, operands


def _real(pod: PodView, path: str) -> Path:
    """Where *path* of the pod really lies; only its disk is there."""
    clean = os.path.normpath(path if path.startswith("/") else f"{DATA}/{path}")
    if clean != DATA and not clean.startswith(DATA + "/"):
        raise Complaint(f"{path}: in this sandbox only {DATA} is shown")
    real = Path(pod.data) / os.path.relpath(clean, DATA)
    if real.is_symlink() or not real.resolve().is_relative_to(Path(pod.data).resolve()):
        raise Complaint(f"{path}: a link, which is not followed")
    return real


def _held_file(pod: PodView, path: str) -> Path | None:
    """The open file ``/proc/PID/fd/N`` when it lies on the pod's disk; None for another path."""
    parts = path.strip("/").split("/")
    if len(parts) != 4 or parts[0] != "proc" or parts[2] != "fd":
        return None
    if not (parts[1].isdigit() and parts[3].isdigit()) or Path(path).stat().st_dev != Path(pod.data).stat().st_dev:
        raise Complaint(f"{path}: not on this pod's disk")
    return Path(path)


def _size(count: float, human: bool) -> str:
    if not human:
        return str(int(count // 1024))
    for unit in ("", "K", "M", "G"):
        if count < 1024 or unit == "G":
            return f"{count:.1f}{unit}" if unit and count < 10 else f"{count:.0f}{unit}"
        count /= 1024
    return str(count)


def df(pod: PodView, words: list[str]) -> str:
    """``df [-h] [-i] [PATH]``."""
    options, operands = _split(words, "hiPk")
    state = os.statvfs(_real(pod, operands[0] if operands else DATA))
    if "i" in options:
        used = state.f_files - state.f_ffree
        row = (state.f_files, used, state.f_ffree, f"{100 * used // max(1, state.f_files)}%")
        head = f"{'Filesystem':<12}{'Inodes':>10}{'IUsed':>10}{'IFree':>10}{'IUse%':>7} Mounted on\n"
        return head + f"{'tmpfs':<12}{row[0]:>10}{row[1]:>10}{row[2]:>10}{row[3]:>7} {DATA}\n"
    human = "h" in options
    total, free = state.f_blocks * state.f_frsize, state.f_bavail * state.f_frsize
    used = total - free
    share = f"{-(-100 * used // max(1, total))}%"
    unit = "Size" if human else "1K-blocks"
    head = f"{'Filesystem':<12}{unit:>10}{'Used':>10}{'Avail':>10}{'Use%':>6} Mounted on\n"
    sizes = "".join(f"{_size(one, human):>10}" for one in (total, used, free))
    return f"{head}{'tmpfs':<12}{sizes}{share:>6} {DATA}\n"


def du(pod: PodView, words: list[str]) -> str:
    """``du [-xahs] [PATH]``: kibibytes of each file with a name, and their sum."""
    options, operands = _split(words, "xahsk")
    shown = operands[0] if operands else DATA
    real, lines, total = _real(pod, shown), list[str](), 0
    for found in [real, *sorted(real.rglob("*"))] if real.is_dir() else [real]:
        if found.is_file():
            taken = os.lstat(found).st_blocks * 512
            total += taken
            if "a" in options and "s" not in options:
                lines.append(f"{_size(taken, 'h' in options)}\t{shown.rstrip('/')}/{found.relative_to(real)}")
    return "\n".join([*lines, f"{_size(total, 'h' in options)}\t{shown}"]) + "\n"


def ls(pod: PodView, words: list[str]) -> str:
    """``ls [-lah] [PATH]``."""
    options, operands = _split(words, "lah1tr")
    real = _real(pod, operands[0] if operands else DATA)
    names = sorted(one.name for one in real.iterdir()) if real.is_dir() else [real.name]
    if "l" not in options:
        return "".join(f"{name}\n" for name in names)
    folder = real if real.is_dir() else real.parent
    return "".join(_long(folder / name, "h" in options) for name in names)


def _long(path: Path, human: bool) -> str:
    about = os.lstat(path)
    size = _size(about.st_size, True) if human else str(about.st_size)
    at = time.strftime("%b %d %H:%M", time.gmtime(about.st_mtime))
    return f"{stat.filemode(about.st_mode)} {about.st_nlink:>2} root root {size:>9} {at} {path.name}\n"


def cat(pod: PodView, words: list[str]) -> str:
    """``cat FILE``: a file of the disk, or a counter of the cgroup."""
    return "".join(_text(pod, word) for word in _split(words, "")[1])


def _text(pod: PodView, path: str) -> str:
    if path.startswith("/sys/fs/cgroup/"):
        return _counter(pod, path.removeprefix("/sys/fs/cgroup/").removeprefix("cpu/").removeprefix("memory/"))
    with _real(pod, path).open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - MAX_OUTPUT))
        lines = stream.read().decode(errors="replace").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _counter(pod: PodView, name: str) -> str:
    if name == "cpu.stat" and pod.cpu is not None:
        usage = int(pod.cpu.usage_s * 1e6)
        return f"usage_usec {usage}\nnr_periods {pod.cpu.periods}\nnr_throttled {pod.cpu.throttled}\n"
    if name == "cpu.max":
        return f"{int(pod.cpus * 100_000)} 100000\n"
    if name == "memory.max":
        return f"{pod.memory}\n"
    raise Complaint(f"/sys/fs/cgroup/{name}: there is cpu.stat, cpu.max and memory.max")


def tail(pod: PodView, words: list[str]) -> str:
    """``tail [-n N] FILE``."""
    options, operands = _split(words, "", "n")
    count = int(options["n"]) if options.get("n", "").isdigit() else 10
    lines = "".join(_text(pod, word) for word in operands).splitlines()
    return "".join(f"{line}\n" for line in lines[-count:])


def ps(pod: PodView, _words: list[str]) -> str:
    """``ps aux``: the processes in the pod's cgroup, with CPU since they began and resident memory."""
    lines = [f"{'PID':>7} {'%CPU':>5} {'RSS':>8} {'STAT':<4} COMMAND\n"]
    ticks = os.sysconf("SC_CLK_TCK")
    up = float(Path("/proc/uptime").read_text().split()[0])
    for pid in sorted(pod.pids):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = (
                Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            )
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        lived = max(0.1, up - int(fields[19]) / ticks)
        share = 100 * (int(fields[11]) + int(fields[12])) / ticks / lived
        resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024
        shown = f"{name}: serving" if name.startswith(pod.name[:15]) else command[:100] or f"[{name}]"
        lines.append(f"{pid:>7} {share:>5.1f} {resident:>8} {fields[0]:<4} {shown}\n")
    return "".join(lines)


def find(pod: PodView, words: list[str]) -> str:
    """``find /proc … -lname '*(deleted)'``: who holds deleted files of the disk; ``find /data``: its files."""
    if words and words[0].startswith("/proc"):
        return "".join(f"{place}\n" for place in _deleted_but_open(pod))
    real = _real(pod, words[0] if words and not words[0].startswith("-") else DATA)
    return "".join(f"{DATA}/{found.relative_to(pod.data)}\n" for found in sorted(real.rglob("*")))


def _deleted_but_open(pod: PodView) -> list[str]:
    disk, found = Path(pod.data).stat().st_dev, list[str]()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            for fd in (entry / "fd").iterdir():
                about = fd.stat()
                if about.st_dev == disk and about.st_nlink == 0 and stat.S_ISREG(about.st_mode):
                    found.append(str(fd))
        except OSError:
            continue  # it ended meanwhile
    return sorted(found)


def truncate(pod: PodView, words: list[str]) -> str:
    """``truncate -s 0 FILE``; FILE may be ``/proc/PID/fd/N`` of a file on the pod's disk."""
    options, operands = _split(words, "", "s")
    if options.get("s") != "0" or not operands:
        raise Complaint("only `truncate -s 0 FILE` is known here")
    for word in operands:
        os.truncate(_held_file(pod, word) or _real(pod, word), 0)
    return ""


def rm(pod: PodView, words: list[str]) -> str:
    """``rm [-f] FILE``: files of the disk only, no folders."""
    options, operands = _split(words, "fv")
    for word in operands:
        real = _real(pod, word)
        if not real.exists() and "f" in options:
            continue
        real.unlink()
    return ""


def wget(pod: PodView, words: list[str]) -> str:
    """``wget -q -T SECONDS -O - URL``: one GET from inside the pod; services have names, as in a cluster."""
    options, operands = _split(words, "qs", "TO")
    url = urllib.parse.urlsplit(operands[0] if operands else "")
    if url.scheme != "http" or not url.hostname:
        raise Complaint("say what to fetch, like http://payment/ready")
    address = _addresses(pod, url.hostname)[0]
    port = url.port or int(pod.env.get("SERVE_PORT", "8080"))
    limit = min(MAX_FETCH_S, float(options.get("T") or MAX_FETCH_S))
    try:
        with urllib.request.urlopen(f"http://{address}:{port}{url.path or '/'}", timeout=limit) as answer:  # nosec B310 - http only
            return str(answer.read(MAX_OUTPUT).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        raise Complaint(f"server returned error: HTTP/1.1 {error.code} {error.reason}") from error
    except (TimeoutError, urllib.error.URLError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        words_ = getattr(reason, "strerror", None) or str(reason)
        raise Complaint(f"can't connect to remote host ({address}): {words_}") from error


def _addresses(pod: PodView, name: str) -> list[str]:
    known: dict[str, list[str]] = json.loads(pod.env.get("ENDPOINTS", "{}"))
    if name in known:
        if not known[name]:
            raise Complaint(f"{name} has no endpoints")
        return known[name]
    try:
        return [socket.gethostbyname(name)]
    except OSError:
        raise Complaint(f"bad address '{name}'") from None


def getent(pod: PodView, words: list[str]) -> str:
    """``getent hosts NAME``."""
    if len(words) != 2 or words[0] != "hosts":
        raise Complaint("only `getent hosts NAME` is known here")
    return "".join(f"{address:<15} {words[1]}\n" for address in _addresses(pod, words[1]))


def env(pod: PodView, _words: list[str]) -> str:
    """``env``: what the template sets."""
    return "".join(
        f"{name}={value}\n" for name, value in sorted(pod.env.items()) if name not in ("ENDPOINTS", "SERVE_PORT")
    )


def hostname(pod: PodView, _words: list[str]) -> str:
    """``hostname``: the pod's name."""
    return f"{pod.name}\n"


COMMANDS: dict[str, Callable[[PodView, list[str]], str]] = {
    "df": df, "du": du, "ls": ls, "cat": cat, "tail": tail, "ps": ps, "find": find, "truncate": truncate, "rm": rm,
    "wget": wget, "curl": wget, "getent": getent, "env": env, "hostname": hostname,
}  # fmt: skip
