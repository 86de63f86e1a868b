"""The node image that kind starts, made without a registry: Debian, our programs, the images kubeadm asks for.

Owns what is in it. ``node/`` holds the files of ours that go in as they are; ``uml/`` those for the worker with its
own kernel, which boots from the very same root file system.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testcluster import archive, debian, trees
from testcluster.archive import Image, Layer
from testcluster.cache import Cache, key_of
from testcluster.gobuild import KUBE
from testcluster.steps import Steps, run
from testcluster.versions import HERE, SUITE, kubernetes

PACKAGES = (
    "busybox", "ca-certificates", "conntrack", "containerd", "containernetworking-plugins", "dbus",
    "ethtool", "hostname", "iproute2", "iptables", "iputils-ping", "kmod", "mount", "nftables", "procps",
    "runc", "socat", "systemd", "systemd-sysv", "util-linux",
)  # fmt: skip
SMOKE_REF = "drill.dev/testcluster-smoke:1"
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_EMPTIED = ("var/lib/apt/lists", "var/cache/apt", "etc/systemd/system", "var/log")
_BOOTSTRAP_S = 1200.0
_SHARED_KUBE = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")
# What kube-proxy and nodenet call. Plain nft and iptables: the host's kernel is asked, not a daemon.
_NETWORK_TOOLS = (
    "/usr/sbin/xtables-nft-multi",
    "/usr/sbin/nft",
    "/usr/sbin/conntrack",
    "/usr/bin/ip",
    "/usr/bin/kmod",
)
_IPTABLES = tuple(f"ip{six}tables{what}" for six in ("", "6") for what in ("", "-save", "-restore"))
# Units that a container without devices, consoles and users has no use for.
_MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "dev-hugepages.mount",
    "dev-mqueue.mount", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "getty.target",
    "nftables.service", "proc-sys-fs-binfmt_misc.automount", "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-binfmt.service",
    "systemd-firstboot.service", "systemd-journald-audit.socket", "systemd-logind.service",
    "systemd-modules-load.service", "systemd-networkd.service", "systemd-pstore.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service", "systemd-timesyncd.service", "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-setup.service", "systemd-udev-trigger.service", "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket", "systemd-udevd.service", "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service", "systemd-ask-password-console.path", "systemd-ask-password-wall.path",
)  # fmt: skip
_STARTED = {
    "containerd.service": "/lib/systemd/system/containerd.service",
    "kubelet.service": "/etc/systemd/system/kubelet.service",
}


@dataclass(frozen=True)
class NodeImage:
    """The image as a file, and the two folders it consists of, from which user-mode-linux boots."""

    ref: str
    rootfs: Path  # Debian
    tree: Path  # what lies over it
    archive: Path
    smoke: Path  # archive of the smoke test's image


@dataclass(frozen=True)
class Parts:
    """Folders of built programs by the name of their build, and the unpacked Debian packages."""

    programs: Mapping[str, Path]
    debian: Path

    def program(self, build: str, name: str) -> Path:
        """Path of one program."""
        return self.programs[build] / name


def obtain(cache: Cache, parts: Parts, steps: Steps) -> NodeImage:
    """Return the node image, put together if need be."""
    rootfs = _node_rootfs(cache, parts, steps)
    key = key_of(
        HERE / "node", HERE / "uml", HERE / "nodeimage.py", rootfs.name, [p.name for p in parts.programs.values()]
    )
    ref = f"drill.dev/kind-node:{kubernetes()}-{key}"
    with steps.step(f"Node image for Kubernetes {kubernetes()}") as step:
        place, built = cache.obtain(f"node-{kubernetes()}", key, lambda out: _assemble(out, ref, rootfs, parts))
        step.outcome = f"{(place / 'node.tar').stat().st_size >> 20} MiB in {place}" if built else "in the cache"
    return NodeImage(ref, rootfs, place / "tree", place / "node.tar", place / "smoke.tar")


def rootfs(cache: Cache, parts: Parts, packages: Sequence[str], steps: Steps) -> Path:
    """Return a folder with Debian's minimal system and *packages*, configured."""
    key = key_of(SUITE, packages, _LEFT_OUT, _EMPTIED)
    with steps.step(f"Debian {SUITE} with {len(packages)} packages") as step:
        place, built = cache.obtain(f"rootfs-{SUITE}", key, lambda out: _bootstrap(out, packages, parts))
        step.outcome = f"made in {place}" if built else "in the cache"
    return place


def _node_rootfs(cache: Cache, parts: Parts, steps: Steps) -> Path:
    key = key_of(SUITE, PACKAGES, _LEFT_OUT, _EMPTIED, HERE / "uml" / "boot")
    with steps.step(f"Debian {SUITE} for the nodes ({len(PACKAGES)} packages)") as step:
        place, built = cache.obtain(f"rootfs-{SUITE}", key, lambda out: _bootstrap_node(out, parts))
        step.outcome = f"made in {place}" if built else "in the cache"
    return place


def _bootstrap_node(out: Path, parts: Parts) -> None:
    _bootstrap(out, PACKAGES, parts)
    (out / "etc/machine-id").unlink(missing_ok=True)
    trees.install(HERE / "uml" / "boot", out / "sbin/uml-boot")


def _bootstrap(out: Path, packages: Sequence[str], parts: Parts) -> None:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    command = ["mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(packages)}", *excluded]
    run([*command, SUITE, out], env=debian.environment(parts.debian), timeout=_BOOTSTRAP_S)
    for folder in _EMPTIED:
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).mkdir(parents=True)


def _assemble(out: Path, ref: str, rootfs: Path, parts: Parts) -> None:
    tree, work = out / "tree", out / "work"
    shutil.copytree(HERE / "node", tree, symlinks=True)
    work.mkdir()
    refs = _refs(parts)
    (tree / "kind/images").mkdir()
    _preloaded(tree / "kind/images", work, rootfs, parts, refs)
    _fill_in(tree, {"@PAUSE@": refs["pause"], "@KUBE_PROXY@": refs["kube-proxy"]})
    _programs(tree, parts)
    _units(tree / "etc/systemd/system")
    (tree / "kind/version").write_text(f"{kubernetes()}\n")
    for folder in ("etc/kubernetes/manifests", "etc/cni/net.d"):
        (tree / folder).mkdir(parents=True)
    base = archive.layer(rootfs, work / "rootfs.tar", skip=lambda name: name.startswith("dev/"), keep_owner=True)
    ours = archive.layer(tree, work / "tree.tar")
    config = {
        "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
        "StopSignal": "SIGRTMIN+3",  # systemd's orderly halt
        "Env": [archive.PATH, "container=docker"],
    }
    archive.write(out / "node.tar", [Image(ref, [base, ours], config)])
    _smoke(out / "smoke.tar", work, rootfs)
    shutil.rmtree(work)


def _refs(parts: Parts) -> dict[str, str]:
    """The image names that this kubeadm asks for, by their last part without the tag."""
    kubeadm = parts.program("kube", "kubeadm")
    listing = json.loads(
        run([kubeadm, "config", "images", "list", "-o", "json", "--kubernetes-version", kubernetes()])
    )
    return {ref.rsplit("/", 1)[-1].split(":")[0]: ref for ref in listing["images"]}


def _preloaded(target: Path, work: Path, rootfs: Path, parts: Parts, refs: Mapping[str, str]) -> None:
    """Archives with the images of the control plane; all of Kubernetes is one program in one shared layer."""
    kube, proxy = work / "kube", work / "proxy"
    trees.install(parts.program("kube", "kube"), kube / "usr/local/bin/kube")
    for name in _SHARED_KUBE:
        trees.link(kube / "usr/local/bin" / name, "kube")
    _network_tools(proxy, rootfs, parts)
    shared, tools = archive.layer(kube, work / "kube.tar"), archive.layer(proxy, work / "proxy.tar")
    images = [
        Image(
            refs[name],
            [tools, shared] if name == "kube-proxy" else [shared],
            {"Entrypoint": [f"/usr/local/bin/{name}"]},
        )
        for name in _SHARED_KUBE
    ]
    images.append(
        Image(refs["etcd"], [_single(work, parts, "etcd", "etcd")], {"Entrypoint": ["/usr/local/bin/etcd"]})
    )
    archive.write(target / "kubernetes.tar", images)
    for build, program in (("parts", "pause"), ("coredns", "coredns")):  # these two the other worker needs too
        alone = Image(
            refs[program], [_single(work, parts, build, program)], {"Entrypoint": [f"/usr/local/bin/{program}"]}
        )
        archive.write(target / f"{program}.tar", [alone])


def _single(work: Path, parts: Parts, build: str, program: str) -> Layer:
    tree = work / f"only-{program}"
    trees.install(parts.program(build, program), tree / "usr/local/bin" / program)
    return archive.layer(tree, work / f"only-{program}.tar")


def _network_tools(tree: Path, rootfs: Path, parts: Parts) -> None:
    plugins = [
        f"/usr/lib/x86_64-linux-gnu/xtables/{p.name}"
        for p in (rootfs / "usr/lib/x86_64-linux-gnu/xtables").glob("*.so")
    ]
    trees.closure(rootfs, _NETWORK_TOOLS, tree, plugins)
    for name in _IPTABLES:
        trees.link(tree / "usr/sbin" / name, "xtables-nft-multi")
    trees.link(tree / "usr/sbin/modprobe", "../bin/kmod")
    trees.install(parts.program("parts", "nodenet"), tree / "usr/local/bin/nodenet")
    for folder in ("etc", "run", "tmp", "var"):
        (tree / folder).mkdir(exist_ok=True)


def _fill_in(tree: Path, values: Mapping[str, str]) -> None:
    for path in (tree / "etc/containerd/config.toml", tree / "kind/manifests/default-cni.yaml"):
        text = path.read_text()
        for name, value in values.items():
            text = text.replace(name, value)
        path.write_text(text)


def _programs(tree: Path, parts: Parts) -> None:
    trees.install(parts.program("kube", "kube"), tree / "usr/bin/kube")
    for name in KUBE:
        trees.link(tree / "usr/bin" / name, "kube")
    trees.install(parts.program("parts", "nodenet"), tree / "usr/local/bin/nodenet")
    trees.install(parts.program("crictl", "crictl"), tree / "usr/local/bin/crictl")  # `kind export logs` calls it
    shutil.copytree(HERE / "uml", tree / "kind/uml")
    for script in (tree / "usr/local/bin/entrypoint", tree / "kind/bin/preload", tree / "kind/uml/start"):
        script.chmod(0o755)


def _units(units: Path) -> None:
    trees.link(units / "default.target", "/lib/systemd/system/multi-user.target")
    for name, target in _STARTED.items():
        trees.link(units / "multi-user.target.wants" / name, target)
    for name in _MASKED:
        trees.link(units / name, "/dev/null")


def _smoke(out: Path, work: Path, rootfs: Path) -> None:
    """Busybox, and the real tc: enough to serve, to ask and to delay."""
    tree = work / "smoke"
    trees.closure(rootfs, ["/usr/sbin/tc", "/usr/bin/busybox"], tree)
    for applet in ("cat", "hostname", "httpd", "ls", "nslookup", "ping", "sh", "sleep", "wget"):
        trees.link(tree / "usr/bin" / applet, "busybox")
    for folder in ("etc", "tmp", "www"):
        (tree / folder).mkdir(exist_ok=True)
    archive.write(out, [Image(SMOKE_REF, [archive.layer(tree, work / "smoke.tar")], {"Cmd": ["/bin/sh"]})])
