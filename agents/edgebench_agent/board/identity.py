"""Which board this is: hashes, because a serial number and a machine id are nobody else's business."""

import hashlib
from pathlib import Path
from typing import Optional

from .kernel_files import read_table, read_text


def serial_hash(root: Path) -> Optional[str]:
    """Return the hash of the board's serial number; None: it has none that a user may read."""
    serial = read_text(root / "proc/device-tree/serial-number") or read_table(root / "proc/cpuinfo").get("Serial")
    return _hash(serial) if serial and serial.strip("0") else None


def machine_hash(root: Path) -> Optional[str]:
    """Return the hash of the system's machine id (machine-id(5)), which a new installation changes."""
    return _hash(read_text(root / "etc/machine-id"))


def _hash(text: Optional[str]) -> Optional[str]:
    # The prefix makes it another hash than that of other programs, as machine-id(5) asks for.
    return hashlib.sha256(b"edgebench board " + text.encode()).hexdigest()[:16] if text else None
