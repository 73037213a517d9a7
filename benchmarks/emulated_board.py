"""From a bare board to its first measurement: an emulated arm64 board with OpenSSH and nothing else.

Run: python -m benchmarks.emulated_board  (root, qemu-user-static, mmdebstrap and zstd are needed)

The wheels are downloaded and the model is exported before; then one command sets the board up and measures. After that
`device setup` finds that there is nothing to do. QEMU's time, not a board's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.emulated.arm64_root import why_not
from tests.emulated.test_arm64 import Desk, new_desk

MODEL = ("--model", "reference:tiny", "--format", "onnx-int8", "--seq-len", "16")
SHORT = ("--runs", "1", "--min-count", "10", "--min-duration", "0", "--no-overhead", "--no-cold")
AGAIN = 5


def timed(desk: Desk, *arguments: str, codes: tuple[int, ...] = (0,)) -> float:
    """Run `edgebench ...`; return its seconds."""
    began = time.monotonic()
    done = desk.run(*arguments)
    assert done.returncode in codes, done.stderr
    return time.monotonic() - began


def main() -> None:
    """Print how long each command took."""
    if (reason := why_not()) is not None:
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export = [sys.executable, "-m", "edgebench", "export", *MODEL[:4], "--out", str(folder / "exported")]
        subprocess.run(export, check=True)
        desks = []
        try:
            for at in ("rehearsal", "bare"):
                (folder / at).mkdir()
                desks.append(new_desk(folder / at))
                first = timed(desks[-1], "profile", "--device", "pi4", "--setup", *MODEL, *SHORT, codes=(0, 4))
            again = [timed(desks[-1], "device", "setup", "pi4", "--runtime", "onnxruntime") for _ in range(AGAIN)]
            every = timed(desks[-1], "device", "setup", "pi4")
            all_again = [timed(desks[-1], "device", "setup", "pi4") for _ in range(AGAIN)]
        finally:
            for desk in desks:
                desk.board.close()
    print(f"bare board to first measurement, profile --setup: {first:.0f} s")
    print(f"device setup again, one runtime, named: {', '.join(f'{each:.1f}' for each in again)} s")
    print(f"device setup of the two other runtimes: {every:.0f} s")
    print(f"device setup again: {', '.join(f'{each:.1f}' for each in all_again)} s")


if __name__ == "__main__":
    main()
