"""Pushing a model to a board, verification there included, against scp followed by sha256sum on the board.

python -m benchmarks.push [--pairs 20] [--megabytes 280]

Both sides open their own connection each time, use the same cipher, and go to the same OpenSSH server on loopback and
the same disk. edgebench also brings the file to the disk (fsync) before it says that it is there; scp doesn't.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.pairs import interleaved
from edgebench.board import connect_agent
from edgebench.device import Device, load_profile
from edgebench.testing import FaultyProxy
from tests.board.openssh import SSHD, OpenSshServer
from tests.board.ssh_board import write_key

CIPHER = "aes128-gcm@openssh.com"
MOST = 1 / 0.9


class Push:
    """One file, one board, two ways to bring it there."""

    def __init__(self, folder: Path, size: int) -> None:
        self.server = OpenSshServer(folder / "board")
        self.identity_file = folder / "key"
        self.server.authorize(write_key(self.identity_file))
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.server.port} {self.server.host_key}\n")
        self.file = folder / "model.onnx"
        self.file.write_bytes(os.urandom(size))
        self.sha256 = hashlib.sha256(self.file.read_bytes()).hexdigest()
        self.size = size
        with connect_agent(self.device()):
            pass

    def device(self, port: int | None = None) -> Device:
        return Device(
            name="board",
            profile=load_profile("local"),
            host="127.0.0.1",
            port=port or self.server.port,
            user=self.server.user,
            identity_file=str(self.identity_file),
            host_key=self.server.host_key,
            python=sys.executable,
        )

    def ours(self) -> float:
        """Return the seconds that edgebench takes: connect, and push through the agent."""
        shutil.rmtree(self.server.home / ".edgebench" / "blobs", ignore_errors=True)
        with connect_agent(self.device()) as agent:
            agent.transport.close()
            began = time.perf_counter()
            agent.transport.connect()
            moved = agent.push(self.file, sha256=self.sha256, size=self.size)
            seconds = time.perf_counter() - began
        if moved != self.size:
            raise SystemExit(f"{moved} bytes moved, expected {self.size}")
        return seconds

    def theirs(self) -> float:
        """Return the seconds of scp, and then sha256sum over ssh."""
        target = self.server.home / "model.onnx"
        target.unlink(missing_ok=True)
        options = ["-q", "-F", "none", "-c", CIPHER, "-i", str(self.identity_file)]
        options += ["-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "IdentitiesOnly=yes"]
        host = f"{self.server.user}@127.0.0.1"
        port = str(self.server.port)
        began = time.perf_counter()
        subprocess.run(["scp", *options, "-P", port, self.file, f"{host}:{target}"], check=True)
        command = ["ssh", *options, "-p", port, host, f"sha256sum {shlex.quote(str(target))}"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - began
        if not shown.startswith(self.sha256):
            raise SystemExit("scp brought other bytes")
        return seconds

    def second_push(self) -> tuple[int, int]:
        """Return how many bytes a second push says it moved, and how many bytes the network saw go to the board."""
        with FaultyProxy(self.server.port) as proxy, connect_agent(self.device(proxy.port)) as agent:
            before = proxy.moved_to_server
            return agent.push(self.file, sha256=self.sha256, size=self.size), proxy.moved_to_server - before


def main() -> int:
    """Print the ratio and the second push; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=280)
    arguments = parser.parse_args()
    if SSHD is None:
        raise SystemExit("this needs OpenSSH's server; try: sudo apt install openssh-server")
    times: dict[str, list[float]] = {"ours": [], "theirs": []}

    def kept(name: str, seconds: float) -> float:
        times[name].append(seconds)
        return seconds

    with tempfile.TemporaryDirectory(prefix="edgebench-push-") as folder:
        push = Push(Path(folder), arguments.megabytes * 1_000_000)
        try:
            ratio = interleaved(
                lambda: kept("ours", push.ours()), lambda: kept("theirs", push.theirs()), pairs=arguments.pairs
            )
            push.ours()
            said, seen = push.second_push()
        finally:
            push.server.close()
    for name, title in (("ours", "edgebench, fsync included"), ("theirs", "scp, then sha256sum")):
        median = sorted(times[name][1:])[len(times[name]) // 2]
        print(f"{title:28} {median:6.2f} s  {arguments.megabytes / median:6.0f} MB/s")
    print(f"ratio of times               {ratio}   goal: at most {MOST:.4f}")
    print(f"second push: {said} file bytes moved; {seen} bytes went to the board in all")
    return 0 if ratio.high <= MOST and said == 0 and seen < 100_000 else 1


if __name__ == "__main__":
    raise SystemExit(main())
