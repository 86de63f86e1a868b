"""Image archives: what Docker and containerd check when they load one, and the same bytes for the same files."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

from testcluster.archive import Image

from testcluster import archive


def _tree(where: Path) -> Path:
    (where / "usr/bin").mkdir(parents=True)
    program = where / "usr/bin/program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (where / "bin").symlink_to("usr/bin")
    (where / "dev").mkdir()
    (where / "dev/null").touch()
    return where


def _read(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as file:
        return {m.name: content.read() for m in file if (content := file.extractfile(m)) is not None}


def test_a_layer_is_named_by_the_hash_of_its_bytes(tmp_path: Path) -> None:
    layer = archive.layer(_tree(tmp_path / "tree"), tmp_path / "layer.tar")
    assert layer.digest == hashlib.sha256(layer.tar.read_bytes()).hexdigest()
    with tarfile.open(layer.tar) as tar:
        members = {m.name: m for m in tar}
    assert members["usr/bin/program"].mode == 0o755
    assert (members["bin"].issym(), members["bin"].linkname) == (True, "usr/bin")
    assert {(m.uid, m.gid, m.uname) for m in members.values()} == {(0, 0, "")}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    one = archive.layer(_tree(tmp_path / "one"), tmp_path / "one.tar")
    other = _tree(tmp_path / "other")
    os.utime(other / "usr/bin/program", (1, 1))
    assert archive.layer(other, tmp_path / "other.tar").digest == one.digest


def test_what_is_skipped_is_not_there(tmp_path: Path) -> None:
    layer = archive.layer(_tree(tmp_path / "tree"), tmp_path / "l.tar", skip=lambda name: name.startswith("dev/"))
    with tarfile.open(layer.tar) as tar:
        names = tar.getnames()
    assert "dev" in names
    assert "dev/null" not in names


def test_an_archive_names_its_config_by_hash_and_its_layers_by_digest(tmp_path: Path) -> None:
    layer = archive.layer(_tree(tmp_path / "tree"), tmp_path / "l.tar")
    archive.write(tmp_path / "out.tar", [Image("drill.dev/x:1", [layer], {"Entrypoint": ["/bin/program"]})])
    content = _read(tmp_path / "out.tar")
    (entry,) = json.loads(content["manifest.json"])
    assert entry["RepoTags"] == ["drill.dev/x:1"]
    assert entry["Config"] == f"{hashlib.sha256(content[entry['Config']]).hexdigest()}.json"
    config = json.loads(content[entry["Config"]])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{layer.digest}"]
    assert config["config"]["Entrypoint"] == ["/bin/program"]
    assert config["config"]["Env"] == [archive.PATH]
    assert content[entry["Layers"][0]] == layer.tar.read_bytes()


def test_a_layer_that_images_share_is_stored_once(tmp_path: Path) -> None:
    shared = archive.layer(_tree(tmp_path / "shared"), tmp_path / "s.tar")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/file").write_text("own")
    own = archive.layer(tmp_path / "own", tmp_path / "o.tar")
    archive.write(tmp_path / "out.tar", [Image("a:1", [shared]), Image("b:1", [shared, own])])
    with tarfile.open(tmp_path / "out.tar") as tar:
        names = tar.getnames()
    assert names.count(f"{shared.digest}/layer.tar") == 1
    manifest = json.loads(_read(tmp_path / "out.tar")["manifest.json"])
    assert [len(entry["Layers"]) for entry in manifest] == [1, 2]
