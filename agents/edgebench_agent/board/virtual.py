"""Whether the board is a virtual machine: its neighbours then take processor time that no sensor of its own sees."""

from pathlib import Path
from typing import Optional

from .kernel_files import read_table, read_text

#: What virtual machines carry in DMI, as systemd's detect-virt knows them. Makers of real machines, too, are recognised
#: by the name of the product.
_VENDORS = ("qemu", "kvm", "vmware", "innotek", "virtualbox", "xen", "bochs", "parallels", "bhyve", "amazon ec2")
_PRODUCTS = ("virtual machine", "google compute engine", "openstack", "droplet", "kvm", "vmware", "virtualbox", "hvm")
_BARE_METAL = ".metal"  # in a cloud's name of a machine without hypervisor, e.g. c7g.metal
_TREES = ("dummy-virt", "qemu", "firecracker", "kvmtool", "xenvm")


def is_virtual(root: Path) -> Optional[bool]:
    """Return whether a hypervisor runs below this kernel; None: no file says either.

    One sign is enough: the processor's flag, DMI, /sys/hypervisor, the device tree, or time that a hypervisor took
    (steal) since boot. A kernel in a container answers for its host.
    """
    flags = (read_table(root / "proc/cpuinfo").get("flags") or "").split()  # x86 alone has this line
    dmi = root / "sys/class/dmi/id"
    vendors = [_lowered(dmi / name) for name in ("sys_vendor", "board_vendor", "bios_vendor")]
    product = _lowered(dmi / "product_name")
    tree = _lowered(root / "proc/device-tree/compatible")
    has_sign = (
        "hypervisor" in flags
        or (_BARE_METAL not in product and any(name in text for text in vendors for name in _VENDORS))
        or any(name in product for name in _PRODUCTS)
        or any(name in tree for name in _TREES)
        or bool(_lowered(root / "sys/hypervisor/type"))
        or bool(_lowered(root / "proc/device-tree/hypervisor/compatible"))
        or (steal_ticks(root) or 0) > 0
    )
    if has_sign:
        return True
    # Of a machine that names itself or its processor, a hypervisor would have been seen.
    return False if flags or product or tree or _lowered(root / "proc/device-tree/model") else None


def steal_ticks(root: Path) -> Optional[int]:
    """Return the time that a hypervisor took from all cores since boot, in ticks; None: it is not counted."""
    words = (read_text(root / "proc/stat") or "").partition("\n")[0].split()
    return int(words[8]) if len(words) > 8 and words[0] == "cpu" and words[8].isdigit() else None


def _lowered(path: Path) -> str:
    return (read_text(path) or "").replace("\0", " ").lower()
