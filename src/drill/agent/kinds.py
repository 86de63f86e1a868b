"""Which class holds which fault. Each is imported only when it is asked for, so that starting stays quick."""

from __future__ import annotations

from drill.agent.fault import Held, Site
from drill.agent.spec import Cpu, Disk, Http, Memory, Packet, Pause, Spec


def fault_for(spec: Spec, site: Site) -> Held:
    """Return the fault that *spec* describes, not yet prepared. Raises CannotApply."""
    match spec:
        case Packet():
            return _packet(spec, site)
        case Http():
            from drill.agent.http_envoy import HttpByEnvoy

            return HttpByEnvoy(spec, site)
        case Cpu():
            from drill.agent.stress import CpuStress

            return CpuStress(spec, site)
        case Memory():
            from drill.agent.memory import memory_fault

            return memory_fault(spec, site)
        case Disk():
            from drill.agent.disk import DiskFill

            return DiskFill(spec, site)
        case Pause():
            from drill.agent.pause import Paused

            return Paused(site)


def _packet(spec: Packet, site: Site) -> Held:
    match spec.backend:
        case "netem":
            from drill.agent.packet_shape import Netem

            return Netem(spec, site)
        case "htb":
            from drill.agent.packet_shape import Htb

            return Htb(spec, site)
        case "nfqueue":
            from drill.agent.packet_nfqueue import Nfqueue

            return Nfqueue(spec, site)
        case _:
            from drill.agent.packet_nft import NftDrop

            return NftDrop(spec, site)
