"""An emulated Raspberry Pi 4: the arm64 root in namespaces of its own, OpenSSH in it, fake files in /proc and /sys."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.board.ssh_board import write_key
from tests.emulated.arm64_root import USER, USER_ID, register_emulator, unpack_root

#: Of a Pi 4. With QEMU 7.2's default ("max") ai-edge-litert was seen to answer wrong numbers.
CPU = "cortex-a72"
_FEATURES = "fp asimd evtstrm crc32 cpuid"
_CORES = 2
#: The host's own files here would contradict the processor that programs see: `import onnxruntime` crashes over that.
_FAKES = {
    "cpuinfo": "".join(
        f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: {_FEATURES}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
        for core in range(_CORES)
    )
    + "Revision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "meminfo": "MemTotal:        3882236 kB\nMemFree:         3000000 kB\nMemAvailable:    3300000 kB\n"
    "SwapTotal:             0 kB\nSwapFree:              0 kB\n",
}
_SYS = {
    **{f"devices/system/cpu/{name}": f"0-{_CORES - 1}\n" for name in ("possible", "present", "online")},
    "class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "class/thermal/thermal_zone0/temp": "48199\n",
}
_START = """
set -e
mount --make-rprivate /
mount -t proc proc "$1/proc"
for fake in cpuinfo meminfo; do mount --bind "$2/$fake" "$1/proc/$fake"; done
mount -t tmpfs tmpfs "$1/dev"
for node in null zero full random urandom tty; do touch "$1/dev/$node"; mount --bind "/dev/$node" "$1/dev/$node"; done
mkdir "$1/dev/pts" "$1/dev/shm"; chmod 1777 "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"; ln -s pts/ptmx "$1/dev/ptmx"
mount -t tmpfs tmpfs "$1/run"; mkdir -m 755 "$1/run/sshd"
exec chroot "$1" /usr/sbin/sshd -D -f /etc/ssh/test_config -E /var/log/sshd.log
"""


class EmulatedBoard:
    """A bare board, started; `close` ends every process on it.

    Raises:
        RuntimeError: its SSH server does not start; its log is in the message.
    """

    def __init__(self, folder: Path) -> None:
        """Unpack the root into a new folder and start it."""
        self.root = folder / "root"
        self.user = USER
        self.home = self.root / "home" / USER
        self.identity_file = folder / "id_ed25519"
        register_emulator()
        unpack_root(self.root)
        self._fakes = folder / "fakes"
        self._fakes.mkdir()
        for name, content in _FAKES.items():
            (self._fakes / name).write_text(content)
        for name, content in _SYS.items():
            (self.root / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / "sys" / name).write_text(content)
        self.host_key = write_key(self.root / "etc/ssh/test_key")
        keys = self.root / "etc/ssh/test_authorized"
        keys.write_text(write_key(self.identity_file) + "\n")
        self.port = _free_port()
        self._start()

    def _start(self) -> None:
        settings = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            "HostKey /etc/ssh/test_key",
            "AuthorizedKeysFile /etc/ssh/test_authorized",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            f"SetEnv QEMU_CPU={CPU}",
        ]
        (self.root / "etc/ssh/test_config").write_text("\n".join(settings) + "\n")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "QEMU_CPU": CPU}
        self._process = subprocess.Popen(
            # Processes of its own: they all end with the first of them, and that one with the test, however it ends.
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                _START,
                "sh",
                self.root,
                self._fakes,
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + 600
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                log = self.root / "var/log/sshd.log"
                said = (self._process.stderr.read() if self._process.stderr else b"").decode("utf-8", "replace")
                raise RuntimeError(f"the board does not start: {said} {log.read_text() if log.exists() else ''}"[-900:])
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
                return sock.recv(4) == b"SSH-"
        except OSError:
            return False

    def give(self, path: Path) -> None:
        """Make a file or folder of the root the user's own."""
        os.chown(path, USER_ID, USER_ID)

    def close(self) -> None:
        """End the board."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
