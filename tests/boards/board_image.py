"""The disk of the virtual board: Debian for arm64 with a kernel, and the small first system that mounts it.

onnxruntime is in it already: unpacking wheels on an emulated processor takes minutes, and tests/emulated does it. Built
once and kept outside the repository; each board starts from a copy.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.board.ssh_board import write_key
from tests.conftest import kept_folder
from tests.emulated.arm64_root import PACKAGES, unpack_root

_MORE_PACKAGES = ("linux-image-cloud-arm64", "busybox-static")
#: What the kernel has as modules and needs before it has a disk, in the order in which they are loaded.
_MODULES = (
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_mmio",
    "drivers/block/virtio_blk",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
)
_FIRST = """#!/bin/busybox sh
busybox mkdir -p /proc /dev /disk
busybox mount -t devtmpfs dev /dev
for module in {modules}; do busybox insmod "/$module.ko"; done
until [ -b /dev/vda ]; do busybox sleep 0.1; done
busybox mount -t ext4 /dev/vda /disk
busybox umount /dev
exec busybox switch_root /disk /usr/bin/busybox init
"""
_INITTAB = """::sysinit:/etc/start-board
::respawn:/usr/sbin/sshd -D -f /etc/ssh/test_config
::ctrlaltdel:/usr/bin/busybox reboot -f
"""
_START = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs shm /dev/shm
busybox mount -t tmpfs run /run
mkdir -m 755 /run/sshd
busybox ifconfig lo 127.0.0.1 up
busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
hostname virtual-board
"""
_SSHD = """Port 22
HostKey /etc/ssh/test_key
AuthorizedKeysFile /etc/ssh/test_authorized
StrictModes no
UsePAM no
PasswordAuthentication no
UseDNS no
Subsystem sftp internal-sftp
"""
_DISK_MB = 1536
#: Of the board's Python 3.11.
_WHEELS = ("numpy", "onnxruntime")
_DOWNLOAD = ("--no-deps", "--only-binary=:all:", "--python-version=311", "--implementation=cp")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64")


class BoardImage:
    """Files of a board that was never started: `kernel`, `first` (initrd), `disk`, `identity_file`, `host_key`."""

    def __init__(self, folder: Path) -> None:
        """Make the disk of a new board in `folder`."""
        recipe = repr((PACKAGES, _MORE_PACKAGES, _MODULES, _FIRST, _INITTAB, _START, _SSHD, _DISK_MB, _WHEELS))
        made = kept_folder() / f"virtual-board-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        with made.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.is_dir():
                _make(made)
        self.kernel, self.first = made / "vmlinuz", made / "first.gz"
        self.disk = folder / "disk.ext4"
        subprocess.run(["cp", "--sparse=always", made / "disk.ext4", self.disk], check=True)
        self.identity_file = folder / "id_ed25519"
        shutil.copy(made / "id_ed25519", self.identity_file)
        self.identity_file.chmod(0o600)
        self.host_key = (made / "host_key").read_text()


def _make(made: Path) -> None:
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="virtual-board-making-") as place:
        part, root = Path(place) / "made", Path(place) / "root"
        part.mkdir()
        unpack_root(root, *_MORE_PACKAGES)
        _write(root / "etc/inittab", _INITTAB)
        _write(root / "etc/start-board", _START, mode=0o755)
        _write(root / "etc/ssh/test_config", _SSHD)
        (part / "host_key").write_text(write_key(root / "etc/ssh/test_key"))
        _write(root / "etc/ssh/test_authorized", write_key(part / "id_ed25519") + "\n")
        _unpack_wheels(root / "usr/lib/python3/dist-packages", Path(place) / "wheels")
        (kernel,) = root.glob("boot/vmlinuz-*")
        shutil.copy(kernel, part / "vmlinuz")
        (modules,) = root.glob("usr/lib/modules/*/kernel")
        _write_first(part / "first.gz", root / "usr/bin/busybox", modules)
        for left_over in (root / "boot", root / "usr/lib/modules"):
            shutil.rmtree(left_over)
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-d", root, part / "disk.ext4", f"{_DISK_MB}M"],
            check=True,
            capture_output=True,
        )
        part.rename(made)


def _unpack_wheels(packages: Path, downloads: Path) -> None:
    platforms = [f"--platform={name}" for name in _PLATFORMS]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(downloads)]
    subprocess.run([*download, *_DOWNLOAD, *platforms, *_WHEELS], check=True, capture_output=True)
    for wheel in sorted(downloads.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.write_text(text)
    path.chmod(mode)


def _write_first(path: Path, busybox: Path, modules: Path) -> None:
    """Write the first system: busybox, modules and a script, as an archive of cpio's format `newc`."""
    names = [name.rpartition("/")[2] for name in _MODULES]
    files = {
        "bin": None,
        "bin/busybox": busybox.read_bytes(),
        **{f"{module.rpartition('/')[2]}.ko": (modules / f"{module}.ko").read_bytes() for module in _MODULES},
        "init": _FIRST.format(modules=" ".join(names)).encode(),
    }
    entries = [_entry(name, content, number) for number, (name, content) in enumerate(files.items(), 1)]
    path.write_bytes(gzip.compress(b"".join([*entries, _entry("TRAILER!!!", b"", 0)])))


def _entry(name: str, content: bytes | None, number: int) -> bytes:
    """Return a file's entry; a folder has no content."""
    mode, data = (0o40755, b"") if content is None else (0o100755, content)
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def why_not() -> str | None:
    """Return why this machine can't have a virtual board; None: it can."""
    if os.geteuid() != 0:
        return "the disk of a virtual board is made as root"
    missing = [name for name in ("qemu-system-aarch64", "mmdebstrap", "zstd", "mke2fs") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed; try: apt install qemu-system-arm mmdebstrap zstd e2fsprogs"
    return None
