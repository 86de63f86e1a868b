"""drill's images as archives, without a registry: demo services, agent and runner in one, servers in another.

Owns what is in them, which ``deploy/images`` says for users' Dockerfiles too: Debian's packages, Python's by
pyproject.toml, our source. Layers that rarely change lie below; the source is the last and smallest, so that a
changed line costs seconds. Trimmed to the programs that are called: what a node imports, it holds in memory.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from testcluster import archive, gobuild, nodeimage, trees
from testcluster.archive import Image, Layer
from testcluster.cache import Cache, key_of
from testcluster.nodeimage import Parts
from testcluster.steps import Steps, run
from testcluster.versions import HERE

REPOSITORY = HERE.parent.parent
LISTS = REPOSITORY / "deploy" / "images"
HOME = "opt/drill"
COMMAND = "usr/local/bin/drill"
"""What people, CronJobs and `kubectl exec` call."""
SHIPPED = ("drills", "prometheus", "runbooks", "scenarios", "schemas")
_PYTHON = "3.11"  # Debian bookworm's
_STDLIB = f"usr/lib/python{_PYTHON}"
_UNUSED_STDLIB = (
    "__phello__", "config-*", "curses", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test",
    "tests", "tkinter", "turtle*", "venv",
)  # fmt: skip
# Compiled, kubernetes' typed models are as large again, and drill never loads them.
_NOT_COMPILED = r"/kubernetes/(client/(models|api)|docs|e2e_test)/"
_PROGRAMS = (
    "/usr/bin/python3.11", "/usr/bin/stress-ng", "/usr/sbin/nft", "/usr/sbin/tc",
    *(f"/usr/bin/{name}" for name in (
        "bash", "cat", "chmod", "cp", "dash", "date", "dd", "df", "du", "echo", "env", "fallocate", "free", "head",
        "id", "ip", "kill", "ls", "mkdir", "mount", "mv", "nsenter", "ps", "rm", "sleep", "ss", "stat", "sync",
        "tail", "timeout", "top", "touch", "umount", "uname", "unshare", "wc",
    )),
)  # fmt: skip
# What Envoy and wheels need of the system beside what the programs need.
_LIBRARIES = tuple(
    f"/usr/lib/x86_64-linux-gnu/{name}"
    for name in ("libdl.so.2", "libgcc_s.so.1", "libpthread.so.0", "librt.so.1", "libstdc++.so.6", "libutil.so.1")
)
_NOBODY = 65532
_OLD_S = 3 * 3600.0
_PIP_S, _COMPILE_S = 600.0, 300.0
# Wheels for bookworm's C library (2.36) and all before it: pip takes the names literally.
_PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(36, 16, -1)), "manylinux2014_x86_64")


def version() -> str:
    """drill's version, which is the images' tag."""
    return str(_project()["version"])


def packages() -> list[str]:
    """The Debian packages that ``deploy/images/packages.txt`` names."""
    lines = (LISTS / "packages.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def requirements() -> list[str]:
    """What pip is asked for: drill's dependencies as pyproject.toml has them."""
    found = _project()["dependencies"]
    assert isinstance(found, list)
    return [str(each).replace(" ", "") for each in found]


def dockerfiles(tag: str) -> dict[str, Path]:
    """The same images by users' Dockerfiles: file by full name."""
    return {
        f"drill.dev/drill:{tag}": LISTS / "Dockerfile",
        f"drill.dev/monitoring:{version()}": LISTS / "monitoring.Dockerfile",
    }


def obtain(cache: Cache, servers: Cache, parts: Parts, tag: str, steps: Steps) -> list[Image]:
    """Return both images, their layers made if need be; drill's is called ``drill.dev/drill:TAG``.

    Raises Failed, Missing.
    """
    return [_drill(cache, parts, tag, steps), _monitoring(cache, servers, steps)]


def _drill(cache: Cache, parts: Parts, tag: str, steps: Steps) -> Image:
    base = _layer(cache, "image-base", _base_key(), lambda out: _base(out, cache, parts, steps), steps)
    libraries = _layer(
        cache, "image-libraries", _libraries_key(), lambda out: _libraries(out, cache, parts, steps), steps
    )
    source = _layer(cache, "image-source", _source_key(), lambda out: _source(out, cache, parts, steps), steps)
    config = {
        "Entrypoint": ["python3", "-m", "drill"],
        "Env": [archive.PATH, f"PYTHONPATH=/{HOME}/src:/{HOME}/lib", "PYTHONUNBUFFERED=1"],
        "WorkingDir": f"/{HOME}",
        "User": f"{_NOBODY}:{_NOBODY}",
    }
    return Image(f"drill.dev/drill:{tag}", [base, libraries, source], config)


def _monitoring(cache: Cache, servers: Cache, steps: Steps) -> Image:
    builds = gobuild.server_builds()
    folders = {program: gobuild.obtain(each, servers, steps) for each in builds for program in each.programs}

    def fill(tree: Path) -> None:
        for program in ("prometheus", "alertmanager"):
            trees.install(folders[program] / program, tree / "bin" / program)
        _places(tree)

    key = key_of([folder.name for folder in folders.values()], HERE / "images.py")
    layer = _layer(cache, "image-servers", key, fill, steps)
    return Image(f"drill.dev/monitoring:{version()}", [layer], {"User": f"{_NOBODY}:{_NOBODY}"})


def whole(cache: Cache, image: Image, steps: Steps) -> Path:
    """Return *image* as one archive, written if need be."""
    name = f"archive-{image.ref.rsplit('/', 1)[-1].replace(':', '-')}"
    key = key_of(image.ref, digests(image), json.dumps(image.config))
    with steps.step(f"Archive of {image.ref}") as step:
        place, built = cache.obtain(name, key, lambda out: archive.write(out / f"{name}.tar", [image]))
        _forget_old(place)
        step.outcome = f"{(place / f'{name}.tar').stat().st_size >> 20} MiB" if built else "in the cache"
    return place / f"{name}.tar"


def digests(image: Image) -> list[str]:
    """Digests of the layers, from the bottom."""
    return [each.digest for each in image.layers]


def _layer(cache: Cache, name: str, key: str, fill: Callable[[Path], None], steps: Steps) -> Layer:
    """Return the layer that *fill* makes of an empty folder."""

    def build(out: Path) -> None:
        tree = out / "tree"
        tree.mkdir()
        fill(tree)
        (out / "digest").write_text(archive.layer(tree, out / "layer.tar").digest)
        shutil.rmtree(tree)

    with steps.step(f"Layer {name.removeprefix('image-')}") as step:
        place, built = cache.obtain(name, key, build)
        size = (place / "layer.tar").stat().st_size >> 20
        step.outcome = f"{size} MiB" if built else f"{size} MiB, in the cache"
    _forget_old(place)
    return Layer(place / "layer.tar", (place / "digest").read_text())


def _forget_old(place: Path) -> None:
    """Remove what was made from other sources under the same name long ago; what is young may be in use."""
    for other in place.parent.glob(f"{place.name.rsplit('-', 1)[0]}-*"):
        if other != place and time.time() - other.stat().st_mtime > _OLD_S:
            shutil.rmtree(other, ignore_errors=True)


def _base_key() -> str:
    return key_of(packages(), _PROGRAMS, _LIBRARIES, _UNUSED_STDLIB, HERE / "trees.py", "stdlib compiled")


def _base(tree: Path, cache: Cache, parts: Parts, steps: Steps) -> None:
    """Debian's programs with the libraries they need, Python's standard library, and the places programs expect."""
    rootfs = nodeimage.rootfs(cache, parts, packages(), steps)
    trees.closure(rootfs, _PROGRAMS, tree, [*_LIBRARIES, *_extensions(rootfs)])
    shutil.copytree(
        rootfs / _STDLIB, tree / _STDLIB, symlinks=True, dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__", *_UNUSED_STDLIB),
    )  # fmt: skip
    _compile(tree / _STDLIB, tree, rootfs)
    for name, to in (("python3", "python3.11"), ("python", "python3.11"), ("sh", "dash")):
        trees.link(tree / "usr/bin" / name, to)
    if (rootfs / "usr/lib/tc").is_dir():
        shutil.copytree(rootfs / "usr/lib/tc", tree / "usr/lib/tc")
    shutil.copytree(rootfs / "etc/iproute2", tree / "etc/iproute2")
    _places(tree)


def _extensions(rootfs: Path) -> list[str]:
    """Python's own modules that are shared libraries: what they link must be in the image."""
    return [f"/{_STDLIB}/lib-dynload/{p.name}" for p in (rootfs / _STDLIB / "lib-dynload").glob("*.so")]


def _places(tree: Path) -> None:
    for folder in ("etc", "proc", "run", "sys", "tmp", "var/tmp", "root", "data"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    (tree / "etc/passwd").write_text(
        f"root:x:0:0:root:/root:/bin/sh\nnobody:x:{_NOBODY}:{_NOBODY}:nobody:/tmp:/bin/sh\n"
    )
    (tree / "etc/group").write_text(f"root:x:0:\nnobody:x:{_NOBODY}:\n")
    (tree / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")


def _libraries_key() -> str:
    return key_of(requirements(), _base_key(), _NOT_COMPILED, _PLATFORMS)


def _libraries(tree: Path, cache: Cache, parts: Parts, steps: Steps) -> None:
    target = tree / HOME / "lib"
    platforms = [f"--platform={each}" for each in _PLATFORMS]
    run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check",
            "--target", target, "--implementation=cp", f"--python-version={_PYTHON}", *platforms,
            "--only-binary=:all:", *requirements(),
        ],
        timeout=_PIP_S,
    )  # fmt: skip
    shutil.rmtree(target / "bin", ignore_errors=True)  # scripts that name this machine's Python
    _compile(target, tree, nodeimage.rootfs(cache, parts, packages(), steps), _NOT_COMPILED)


def _source_key() -> str:
    return key_of(
        REPOSITORY / "src",
        LISTS / "drill",
        *(REPOSITORY / each for each in (*SHIPPED, "pyproject.toml")),
        _base_key(),
    )


def _source(tree: Path, cache: Cache, parts: Parts, steps: Steps) -> None:
    home = tree / HOME
    home.mkdir(parents=True)
    for each in (*SHIPPED, "src"):
        shutil.copytree(REPOSITORY / each, home / each, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(REPOSITORY / "pyproject.toml", home / "pyproject.toml")
    trees.install(LISTS / "drill", tree / COMMAND)
    _compile(home / "src", tree, nodeimage.rootfs(cache, parts, packages(), steps))


def _compile(folder: Path, tree: Path, rootfs: Path, leave_out: str = "") -> None:
    """Compile by the Python that will run it, which is the image's: its file system is read-only in a pod.

    Bytecode that trusts its place (``unchecked-hash``): the same sources give the same bytes, and the layer, whose
    files are all of one date, does not make it stale.
    """
    libraries = ":".join(str(rootfs / each / "x86_64-linux-gnu") for each in ("usr/lib", "lib"))
    excluded = ["-x", leave_out] if leave_out else []
    run(
        [
            rootfs / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "--library-path", libraries,
            rootfs / f"usr/bin/python{_PYTHON}", "-m", "compileall", "-q", "-j", "2",
            "--invalidation-mode=unchecked-hash", "-s", str(tree), "-p", "/", *excluded, folder,
        ],
        env={"PYTHONHOME": str(rootfs / "usr"), "PATH": "/usr/bin:/bin"}, timeout=_COMPILE_S,
    )  # fmt: skip


def _project() -> dict[str, object]:
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        found: dict[str, object] = tomllib.load(file)["project"]
    return found
