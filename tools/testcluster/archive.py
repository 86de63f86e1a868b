"""Container images as files, no registry: the ``docker save`` format, which Docker, containerd and kind load.

Owns the format. The same files give the same bytes: names are sorted, owners and times fixed.
Format: Docker Image Specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_WHEN = 1767225600  # 2026-01-01T00:00:00Z, for every file
_CREATED = "2026-01-01T00:00:00Z"
_CHUNK = 1 << 20
_OCI = "application/vnd.oci.image"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Layer:
    """One layer: an uncompressed tar and the sha256 over it, in hex."""

    tar: Path
    digest: str


@dataclass(frozen=True)
class Image:
    """One image: its full name with tag, its layers from the bottom, Docker's ``config`` (Entrypoint, Env …)."""

    ref: str
    layers: Sequence[Layer]
    config: Mapping[str, object] = field(default_factory=dict)


class _Hashing(io.RawIOBase):
    """A file that is only written to, in order, and knows the hash of what went through."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash, self.offset = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.offset

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.hash.update(data)
        self.offset += len(data)
        return self.file.write(data)


def layer(
    tree: Path, tar: Path, *, skip: Callable[[str], bool] = lambda _: False, keep_owner: bool = False
) -> Layer:
    """Write the folder *tree* as a layer. *skip* gets paths like ``dev/null``; owners become root unless kept."""

    def settle(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if skip(info.name):
            return None
        info.mtime = _WHEN
        info.uname = info.gname = ""
        if not keep_owner:
            info.uid = info.gid = 0
        return info

    with tar.open("wb") as file:
        hashing = _Hashing(file)
        with tarfile.open(fileobj=hashing, mode="w", format=tarfile.GNU_FORMAT) as out:
            for child in sorted(tree.iterdir()):
                out.add(child, arcname=child.name, filter=settle)
    return Layer(tar, hashing.hash.hexdigest())


def write(out: Path, images: Iterable[Image]) -> None:
    """Write *images* into one archive; a layer that several share is stored once."""
    manifest, stored = [], set[str]()
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for image in images:
            config = json.dumps(_config(image), sort_keys=True).encode()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _put(tar, name, config)
            for each in image.layers:
                if each.digest not in stored:
                    stored.add(each.digest)
                    _put_layer(tar, each, _layer_name(each))
            layers = [_layer_name(each) for each in image.layers]
            manifest.append({"Config": name, "RepoTags": [image.ref], "Layers": layers})
        _put(tar, "manifest.json", json.dumps(manifest).encode())


def write_part(out: Path, image: Image, without: Collection[str]) -> None:
    """Write *image* for a containerd that has the layers with the digests *without* already: they are left out.

    Format: OCI Image Layout v1.0, whose blobs may be absent where the reader has them.
    """
    config = json.dumps(_config(image), sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _described(f"{_OCI}.config.v1+json", hashlib.sha256(config).hexdigest(), len(config)),
        "layers": [
            _described(f"{_OCI}.layer.v1.tar", each.digest, each.tar.stat().st_size) for each in image.layers
        ],
    }
    body = json.dumps(manifest, sort_keys=True).encode()
    entry = _described(str(manifest["mediaType"]), hashlib.sha256(body).hexdigest(), len(body))
    named = {**entry, "annotations": {"io.containerd.image.name": image.ref}}
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        _put(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _put(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [named]}).encode())
        for content in (config, body):
            _put(tar, f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content)
        for each in image.layers:
            if each.digest not in without:
                _put_layer(tar, each, f"blobs/sha256/{each.digest}")


def _described(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _config(image: Image) -> dict[str, object]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}
    return {
        "architecture": machine.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": _CREATED,
        "config": {"Env": [PATH], **image.config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each.digest}" for each in image.layers]},
        "history": [{"created": _CREATED} for _ in image.layers],
    }


def _layer_name(each: Layer) -> str:
    return f"{each.digest}/layer.tar"


def _put(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), _WHEN
    tar.addfile(info, io.BytesIO(content))


def _put_layer(tar: tarfile.TarFile, each: Layer, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = each.tar.stat().st_size, _WHEN
    with each.tar.open("rb") as file:
        tar.addfile(info, file)
