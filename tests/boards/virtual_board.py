"""A whole board in QEMU: its own kernel, disk, clock, /proc and /sys; it can be switched off, and reset."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.boards.board_image import BoardImage
from tests.emulated.arm64_root import USER

#: Of a Pi 4.
CPU = "cortex-a72"
_MEMORY_MB = 1024
_BOOT_S = 300


class VirtualBoard:
    """A board that is switched off; `start` boots it, to SSH on 127.0.0.1:`port`."""

    def __init__(self, folder: Path) -> None:
        """Make a board with files in `folder`."""
        self.image = BoardImage(folder)
        self.user = USER
        self.port = _free_port()
        self.log = folder / "console.log"
        self._monitor = folder / "monitor"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, clock: str = "utc") -> float:
        """Boot; return how long it took until SSH answered, in seconds.

        Args:
            clock: what the board takes for the time of day, such as `1970-01-01` for one without a clock of its own.

        Raises:
            RuntimeError: it did not come up; the end of its console is in the message.
        """
        assert self._process is None
        began = time.monotonic()
        with self.log.open("ab") as console:
            self._process = subprocess.Popen(
                [
                    *("qemu-system-aarch64", "-machine", "virt", "-cpu", CPU, "-smp", "2", "-m", str(_MEMORY_MB)),
                    *(
                        "-accel",
                        "tcg,thread=multi",
                        "-display",
                        "none",
                        "-serial",
                        "stdio",
                        "-monitor",
                        f"unix:{self._monitor},server,nowait",
                    ),
                    *("-kernel", str(self.image.kernel), "-initrd", str(self.image.first)),
                    *("-append", "console=ttyAMA0 quiet panic=-1"),
                    *("-drive", f"if=none,id=disk,format=raw,cache=writeback,file={self.image.disk}"),
                    *("-device", "virtio-blk-device,drive=disk"),
                    *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
                    *("-device", "virtio-net-device,netdev=net"),
                    *("-rtc", f"base={clock}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,  # Ctrl-C is for the tests
            )
        while time.monotonic() - began < _BOOT_S:
            if self._process.poll() is not None:
                break
            if self._answers():
                return time.monotonic() - began
            time.sleep(0.5)
        said = self.log.read_text(errors="replace")[-1500:]
        self.switch_off()
        raise RuntimeError(f"the virtual board does not answer after {time.monotonic() - began:.0f} s: {said}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.settimeout(2)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def reset(self) -> None:
        """Press the button: the processor starts again, and the disk has what was written to it."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self._monitor))
            monitor.sendall(b"system_reset\n")
            monitor.settimeout(5)
            monitor.recv(1 << 12)

    def switch_off(self) -> None:
        """Take its power: nothing is written any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
