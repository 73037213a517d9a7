"""The supervisor: starts the worker, writes the journal, reads the sensors, watches the leases and the worker.

It never imports numpy or a runtime, because it must add little to the memory that a measurement takes.
"""

import os
import select
import signal
import subprocess
import time
import traceback
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Dict, List, Optional

from ..board.facts import board_facts, memory_available, oom_kills
from ..board.limits import memory_limit_bytes
from ..board.processes import Used, busiest, processor_times
from ..board.sensors.reading import SensorSet
from ..home import Home, board_root, own_command, own_sha256
from ..lease.board_lease import BoardLease
from ..lease.run_lease import RunLease
from ..protocol.checks import decode_object
from ..protocol.failure import Failure
from ..protocol.messages import Busiest, Failed, Hello, Log, Message, Readings
from ..protocol.run_spec import RunSpec
from ..protocol.wire import PROTOCOL_VERSION, one_line
from ..storage.cleaning import release_blobs
from ..storage.journal_place import find_place
from . import page_cache, pulse
from .journal import Journal
from .progress import Progress

_TICK_NS = 100_000_000
_LOOK_EVERY_NS = 1_000_000_000
#: How long the worker may take to finish an inference and send its latencies before it is killed.
_GRACE_NS = 5_000_000_000
_LOG_TAIL_BYTES = 16_000


def supervise(home: Home, run_id: str, lock: int, ready: int) -> int:
    """Carry out a run while holding the board's lock (a descriptor); write to `ready` once the journal has begun."""
    folder = home.run(run_id)
    folder.pid.write_text(str(os.getpid()))
    spec = RunSpec.from_json(folder.spec.read_bytes())
    journal = Journal(folder.journal, find_place(folder) if spec.journal == "memory" else None)
    pulse.beat(folder.journal)
    supervision = _Supervision(home, spec, journal, ready)
    try:
        supervision.run(lock)
        return 0
    except Exception as error:  # noqa: BLE001 - the journal says how a run ended, whatever happens
        trace = traceback.format_exc()
        journal.append(Failed("crashed", one_line(f"the supervisor: {error!r}"), trace[-_LOG_TAIL_BYTES:]))
        return 1
    finally:
        release_blobs(home, folder.path)
        pulse.end(folder.journal)
        journal.close()


class _Worker:
    """The worker, which measures in a process of its own: its messages come in, the go-aheads go out."""

    def __init__(self, run_id: str, lock: int) -> None:
        self.messages, messages = os.pipe()
        go, self.go = os.pipe()
        command, environment = own_command("measure", run_id, str(messages), str(go))
        # The worker inherits the lock, so the board stays busy for as long as anything measures.
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, pass_fds=(messages, go, lock), close_fds=True
        )
        os.close(messages)
        os.close(go)
        self._buffer = b""
        with suppress(OSError):
            # If the board runs out of memory, the kernel should kill the worker, not the supervisor or the SSH server.
            Path(f"/proc/{self.process.pid}/oom_score_adj").write_text("1000")

    def lines(self, timeout_ns: int, *others: int) -> Optional[List[bytes]]:
        """Return the lines that arrive within the time or until another descriptor is readable; None at the end."""
        if self.messages not in select.select([self.messages, *others], [], [], max(0, timeout_ns) / 1e9)[0]:
            return []
        data = os.read(self.messages, 1 << 18)
        if not data:
            return None
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        return [line + b"\n" for line in lines]

    def end(self) -> int:
        """Wait until it ends, now that it has sent its last message; return its exit status."""
        for _ in range(2):
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(_GRACE_NS / 1e9)
            self.process.kill()
        return -signal.SIGKILL  # it hangs in the kernel, where no signal reaches it; the board stays locked

    def go_ahead(self) -> None:
        """Let it enter the phase that it announced."""
        with suppress(BrokenPipeError):
            os.write(self.go, b".")


class _Supervision:
    """One run, from the start of its worker to the last message of its journal."""

    def __init__(self, home: Home, spec: RunSpec, journal: Journal, ready: int) -> None:
        self._home = home
        self._folder = home.run(spec.run_id)
        self._spec = spec
        self._journal = journal
        self._ready = ready
        self._lease = RunLease(self._folder.renewed)
        self._board_lease = BoardLease(home)
        self._signalled: Optional[int] = None
        self._stop: Optional[Failed] = None  # why we ended the run ourselves
        self._kill_at_ns = 0
        self._last_message: Optional[bytes] = None  # of the worker
        self._phase = "starting"
        self._has_said_hello = False  # hello comes first
        self._used_before: Optional[Dict[int, Used]] = None  # by each process, when timing began
        self._timed_from = 0.0
        self._model_bytes = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)

    def run(self, lock: int) -> None:
        """Supervise the run until the message that ends the journal."""
        self._killed_before = oom_kills()
        self._worker = _Worker(self._spec.run_id, lock)
        self._progress = Progress(self._worker.process.pid, self._spec)
        self._sensors = SensorSet(self._worker.process.pid) if self._spec.sensors else None
        try:
            self._watch()
        except Failure as failure:  # the journal can't grow
            self._stop = Failed(failure.kind, str(failure))
            self._worker.process.kill()
        self._end(self._worker.end())

    def _note_signal(self, number: int, frame: Optional[FrameType]) -> None:
        self._signalled = number

    # --- while it goes on ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        look_due_ns = 0
        while self._last_message is None:
            ended = self._worker.process.poll() is not None  # before reading, so that its last lines are not missed
            sensors = [] if self._sensors is None else [self._sensors.fileno()]
            lines = self._worker.lines(self._pause_ns(), *sensors)
            if lines is None or (ended and not lines):
                return
            for line in lines:
                self._take(line)
                self._progress.note_message()
            now = time.monotonic_ns()
            if self._sensors is not None and self._has_said_hello:
                self._sensors.request_due(now)
                self._write_collected(self._sensors)
            if now >= look_due_ns:
                look_due_ns = now + _LOOK_EVERY_NS
                self._journal.rescue()
                self._check_lease()
                self._check_progress()
                if not self._progress.is_stopped():
                    pulse.beat(self._folder.journal)
            self._check_stop(now)
            if self._stop is not None and now > self._kill_at_ns + _GRACE_NS:
                return  # killed, and still there

    def _pause_ns(self) -> int:
        """Return for how long there is nothing to do but wait for messages."""
        if self._sensors is None or not self._has_said_hello:
            return _TICK_NS
        return min(_TICK_NS, self._sensors.due_ns() - time.monotonic_ns())

    def _take(self, body: bytes) -> None:
        """Handle a line from the worker. Most lines go into the journal as they are, undecoded."""
        if body.startswith(b'"type":"imported"'):
            self._write_hello(body)
        elif body.startswith((b'"type":"done"', b'"type":"failed"')):
            self._last_message = body
        else:
            self._journal.append_body(body)
        if body.startswith(b'"type":"phase"'):
            self._phase = str(decode_object(b"{" + body)["name"])
            cached = self._page_cache() if self._phase == "loading" else {}
            if self._sensors is not None:
                self._write_readings({**self._sensors.read_border(), **cached})
                self._note_processes()
            self._progress.enter(self._phase, self._model_bytes)
            self._worker.go_ahead()

    def _note_processes(self) -> None:
        """Read what each process used where timing begins, and write who used most where it ends."""
        if self._phase == "measuring":
            self._used_before = processor_times(board_root())
            self._timed_from = time.monotonic()
        elif self._phase == "finishing" and self._used_before is not None:
            seconds, ours = time.monotonic() - self._timed_from, (os.getpid(), self._worker.process.pid)
            found = busiest(board_root(), self._used_before, seconds, without=ours, least_millicores=10)
            self._used_before = None
            if found:
                columns = [list(column) for column in zip(*found)]
                self._write(Busiest(pids=columns[0], names=columns[1], cpu_millicores=columns[2]))

    def _page_cache(self) -> Dict[str, Optional[int]]:
        """Return how much of the model is in the page cache before it is loaded; a cold start drops it first."""
        parts = enumerate(self._spec.parts())
        paths = [path for number, part in parts for path in self._folder.model_paths(part.model_files(), number)]
        self._model_bytes = sum(path.stat().st_size for path in paths)
        if self._spec.mode == "load":
            page_cache.drop(paths)
        return page_cache.residency(paths) if paths else {}

    def _write_hello(self, body: bytes) -> None:
        found = decode_object(b"{" + body)
        self._write(
            Hello(
                protocol=PROTOCOL_VERSION,
                run_id=self._spec.run_id,
                agent_sha256=own_sha256(),
                runtime=self._spec.runtime,
                runtime_version=found["version"],
                libraries=found["libraries"],
                board=board_facts(self._home, board_root()),
                started_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                journal_on=self._journal.storage,
            )
        )
        self._has_said_hello = True
        self._notify_launcher(b"hello\n")

    def _write(self, message: Message) -> None:
        self._journal.append(message)

    def _write_readings(self, values: Dict[str, Optional[int]]) -> None:
        if values:
            self._write(Readings(values))

    def _write_collected(self, sensors: SensorSet) -> None:
        readings, notes = sensors.collect()
        for values in readings:
            self._write_readings(values)
        for note in notes:
            self._write(Log(note))

    def _notify_launcher(self, word: bytes) -> None:
        """Report to `launch` how the run began; it may be gone by now."""
        if self._ready >= 0:
            with suppress(OSError):
                os.write(self._ready, word)
            os.close(self._ready)
            self._ready = -1

    # --- how it ends --------------------------------------------------------------------------------------------

    def _check_lease(self) -> None:
        if self._lease.left_ns(self._spec.lease_ns) < 0:
            seconds = self._spec.lease_ns / 1e9
            self._request_end("lease_expired", f"nobody has renewed the run's lease for {seconds:g} s")
        lost = self._board_lease.why_lost(self._spec.lease_token)
        if lost is not None:
            self._request_end("lease_lost", lost)

    def _check_progress(self) -> None:
        wrong = self._progress.check()
        if wrong is not None:
            self._request_end("stuck", f"the measuring process, {self._phase}, {wrong}")

    def _check_stop(self, now_ns: int) -> None:
        if self._signalled is not None:
            self._request_end("interrupted", f"the agent got {signal.Signals(self._signalled).name}")
        elif self._folder.stop.exists():
            self._request_end("interrupted", "the host asked for the end of the run")
        if self._stop is not None and now_ns > self._kill_at_ns:
            self._worker.process.kill()

    def _request_end(self, kind: str, message: str) -> None:
        if self._stop is None:
            self._stop = Failed(kind, message)
            self._kill_at_ns = time.monotonic_ns() + _GRACE_NS
            self._worker.process.terminate()
            # It may be waiting for a go-ahead that a full disk or a sensor delayed.
            self._worker.go_ahead()

    def _end(self, status: int) -> None:
        """Write the message that ends the journal."""
        with suppress(Failure):
            if self._stop is not None:
                self._write(self._stop)
            elif self._last_message is not None:
                self._journal.append_body(self._last_message)
            else:
                self._write(self._died(status))
        self._notify_launcher(b"failed\n")

    def _died(self, status: int) -> Failed:
        """Explain the end of a worker that sent no last message."""
        where = f"while {self._phase}"
        if status >= 0:
            return Failed("crashed", f"the measuring process ended with status {status} {where}", self._log_tail())
        name = signal.Signals(-status).name
        kills = oom_kills()
        kind, message = "killed", f"the measuring process died of {name} {where}"
        if -status == signal.SIGKILL and kills is not None and kills > (self._killed_before or 0):
            kind, message = "out_of_memory", f"the kernel killed the measuring process for memory {where}"
            limit = memory_limit_bytes(board_root())
            allowed = f", and its control group allows {limit} bytes" if limit is not None else ""
            message += f"; {memory_available()} bytes are free on the board without it{allowed}"
        elif -status in (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS) and self._phase == "starting":
            kind, message = "runtime_broken", f"importing {self._spec.runtime} died of {name}: {self._another_build()}"
        elif -status == signal.SIGILL:
            kind, message = "runtime_broken", f"{self._spec.runtime} died of {name} {where}: {self._another_build()}"
        return Failed(kind, message, self._log_tail())

    def _another_build(self) -> str:
        from ..runtimes.registry import install_command

        return f"it is built for another processor; try: {install_command(self._spec.runtime)}"

    def _log_tail(self) -> str:
        return self._folder.log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
