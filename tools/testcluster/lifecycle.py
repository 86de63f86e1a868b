"""Up and down: the steps in their order. Each is idempotent: a command cut short is simply given again.

Owns the order alone; what a step does stands in its own module.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testcluster import archive, debian, engine, gobuild, images, kind, nodeimage, uml
from testcluster.archive import Image
from testcluster.cache import Cache, user_cache
from testcluster.kind import Cluster
from testcluster.nodeimage import NodeImage, Parts
from testcluster.steps import Failed, Missing, Steps

_BUILD_S = 1800.0
_RECORD = engine.STATE / "programs.json"


@dataclass(frozen=True)
class Options:
    """What the user chose. ``image``: kind's node image, where a Docker that already runs is used."""

    name: str = "drill"
    netem_node: bool = True
    export: bool = True
    image: str | None = None


def cache() -> Cache:
    """The cache of built things."""
    return Cache(user_cache() / "testcluster")


def engine_data() -> Path:
    """Data folder of the private engine; it keeps the loaded node image."""
    return user_cache() / "testcluster" / "engine"


def tools(steps: Steps) -> dict[str, Path]:
    """Build the monitoring servers and return the path of each program."""
    place = Cache(user_cache() / "tools")
    found = {}
    for build in gobuild.server_builds():
        folder = gobuild.obtain(build, place, steps)
        found.update({program: folder / program for program in build.programs})
    return found


def sloth(steps: Steps) -> Path:
    """Build Sloth, the SLO generator, and return the path of the program."""
    return gobuild.obtain(gobuild.sloth_build(), Cache(user_cache() / "tools"), steps) / "sloth"


def build(steps: Steps) -> tuple[Parts, NodeImage]:
    """Build all that a private cluster needs, without starting anything."""
    unpacked = debian.obtain(cache(), steps)
    programs = {each.name: gobuild.obtain(each, cache(), steps) for each in gobuild.cluster_builds()}
    parts = Parts(programs, unpacked)
    return parts, nodeimage.obtain(cache(), parts, steps)


def drill_images(tag: str, steps: Steps) -> list[Image]:
    """drill's own images, their layers made if need be; *tag* empty: drill's version."""
    unpacked = debian.obtain(cache(), steps)
    servers = Cache(user_cache() / "tools")
    return images.obtain(cache(), servers, Parts({}, unpacked), tag or images.version(), steps)


def load_drill(cluster: Cluster, tag: str, steps: Steps) -> None:
    """Build drill's images and load what the cluster lacks of them; by Docker where one runs."""
    if cluster.engine.private:
        load_new(cluster, drill_images(tag, steps), steps)
        return
    for ref, dockerfile in images.dockerfiles(tag or images.version()).items():
        with steps.step(f"Image {ref}"):
            words = ["--quiet", "--tag", ref, "--file", str(dockerfile), str(images.REPOSITORY)]
            cluster.engine.docker("build", *words, timeout=_BUILD_S)
            cluster.kind("load", "docker-image", ref, timeout=_BUILD_S)


def load_new(cluster: Cluster, wanted: Sequence[Image], steps: Steps) -> None:
    """Load what the cluster lacks of the images: nothing, the layers that are new, or all."""
    record = cluster.state / "images.json"
    loaded = json.loads(record.read_text()) if record.exists() else {}
    for image in wanted:
        if loaded.get(image.ref) == images.digests(image):
            steps.say(f"  {image.ref} is loaded")
            continue
        there = {digest for layers in loaded.values() for digest in layers}
        if not (there & {*images.digests(image)} and _load_new_layers(cluster, image, there, steps)):
            load(cluster, images.whole(cache(), image, steps), steps)
        loaded[image.ref] = images.digests(image)
        record.write_text(json.dumps(loaded))


def _load_new_layers(cluster: Cluster, image: Image, there: set[str], steps: Steps) -> bool:
    """Whether the nodes took *image* without the layers that they have; they may have lost one."""
    with tempfile.TemporaryDirectory(dir=user_cache()) as folder:
        part = Path(folder) / "new-layers.tar"
        archive.write_part(part, image, there)
        try:
            load(cluster, part, steps)
        except Failed as error:
            steps.say(f"  a node wants all of {image.ref}: {str(error).splitlines()[-1].strip()}")
            return False
    return True


def smoke_archive(steps: Steps) -> Path:
    """The image archive of the smoke test."""
    return build(steps)[1].smoke


def up(options: Options, steps: Steps) -> Cluster:
    """Start the cluster and return it. Raises Missing, naming what this machine lacks, and Failed."""
    existing = engine.running()
    if existing is not None:
        return _up_on_running(existing, options, steps)
    _require_machine()
    parts, image = build(steps)
    private = engine.private(parts.debian)
    engine.start(private, engine_data(), parts.programs["parts"], steps)
    _record(parts)
    if not private.has_image(image.ref):
        with steps.step("Load the node image"):
            private.load(image.archive)
            private.forget_others(image.ref)
    cluster = _cluster(private, options.name, parts)
    if options.netem_node:
        uml.boot(cluster, image, parts.debian, steps)
    kind.create(cluster, image.ref, steps)
    engine.favour()
    if options.netem_node:
        uml.join(cluster, steps)
    return _finish(cluster, options, steps)


def down(options: Options, steps: Steps) -> None:
    """Remove the cluster, and with the last one the private engine and all its traces."""
    existing = engine.running()
    if existing is not None:
        found = _cluster(existing, options.name, _kind_only(steps))
        kind.delete(found, steps)
        shutil.rmtree(found.state, ignore_errors=True)
        return
    recorded = _recorded()
    if recorded is not None:
        cluster = _cluster(engine.private(recorded.debian), options.name, recorded)
        uml.stop(cluster, steps)
        # one that died left containers behind, and knows how to end them
        engine.start(cluster.engine, engine_data(), recorded.programs["parts"], steps)
        kind.delete(cluster, steps)
        shutil.rmtree(cluster.state, ignore_errors=True)
        if cluster.engine.docker("ps", "-aq").strip():
            steps.say("  other clusters run: the engine stays")
            return
    engine.stop(engine_data(), steps)


def find(options: Options, steps: Steps) -> Cluster:
    """The running cluster of this name. Raises Failed if there is none."""
    existing = engine.running()
    recorded = _recorded() if existing is None and engine.pid() is not None else None
    if existing is not None:
        cluster = _cluster(existing, options.name, _kind_only(steps))
    elif recorded is not None:
        cluster = _cluster(engine.private(recorded.debian), options.name, recorded)
    else:
        raise Failed("no test cluster runs here: `python -m testcluster up` starts one")
    if not cluster.exists():
        raise Failed(f"there is no test cluster {options.name}: `python -m testcluster up --name {options.name}`")
    return cluster


def load(cluster: Cluster, file: Path, steps: Steps) -> None:
    """Load an image archive into every node."""
    if not file.is_file():
        raise Failed(f"there is no image archive {file}")
    with steps.step(f"Load {file.name} into kind's nodes"):
        kind.load(cluster, file)
    if uml.pid(cluster) is not None:
        with steps.step(f"Load {file.name} into {uml.node_name(cluster)}"):
            uml.load(cluster, file)


def _up_on_running(existing: engine.Engine, options: Options, steps: Steps) -> Cluster:
    """kind on the Docker that is there; its kernel is taken to have sch_netem, as laptops' and GitHub's do."""
    steps.say("Docker runs here: kind's own node image is used, and no worker with a kernel of its own")
    cluster = _cluster(existing, options.name, _kind_only(steps))
    kind.create(cluster, options.image, steps)
    return _finish(cluster, options, steps)


def _finish(cluster: Cluster, options: Options, steps: Steps) -> Cluster:
    if options.export:
        kind.export(cluster, steps)
    return cluster


def _kind_only(steps: Steps) -> Parts:
    """kind and kubectl alone: beside a Docker of the user's those of the user do, where there are any."""
    builds = {each.name: each for each in gobuild.cluster_builds()}
    programs = {}
    for name, program in (("kind", "kind"), ("kube", "kubectl")):
        found = shutil.which(program)
        programs[name] = Path(found).parent if found else gobuild.obtain(builds[name], cache(), steps)
    return Parts(programs, Path("/"))


def _record(parts: Parts) -> None:
    """Keep what the running cluster was started with: by the time it is stopped the pins may be others."""
    content = {"debian": str(parts.debian), "programs": {name: str(path) for name, path in parts.programs.items()}}
    _RECORD.write_text(json.dumps(content))


def _recorded() -> Parts | None:
    try:
        content = json.loads(_RECORD.read_text())
    except OSError:
        return None
    return Parts({name: Path(path) for name, path in content["programs"].items()}, Path(content["debian"]))


def _cluster(on: engine.Engine, name: str, parts: Parts) -> Cluster:
    folders = [str(parts.programs[each]) for each in ("kind", "kube")]
    return Cluster(name, on, ":".join([*folders, on.environment.get("PATH", "/usr/bin:/bin")]))


def _require_machine() -> None:
    if os.geteuid() != 0:
        raise Missing("no Docker runs here, and a private container engine needs root")
    if os.uname().machine != "x86_64":
        raise Missing("no Docker runs here, and user-mode-linux needs x86_64")
    if not Path("/dev/net/tun").exists():
        raise Missing("this machine has no /dev/net/tun")
