"""launch: check a run's specification against the board, and start it detached."""

import fcntl
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..board.facts import memory_available
from ..home import Home, RunFolder, board_root, own_command
from ..lease.board_lease import BoardLease
from ..lease.power import Power
from ..lease.run_lease import RunLease
from ..protocol.checks import ProtocolError
from ..protocol.failure import Failure
from ..protocol.messages import Failed, decode_message
from ..protocol.run_spec import ModelFile, RunSpec
from ..protocol.wire import MAX_LINE_BYTES, one_line
from ..runtimes.registry import open_runtime
from ..storage.blobs import paced
from ..storage.journal_place import open_journal, release_place, sweep
from ..storage.verified import Verified
from .pulse import PulseWatch

#: Free disk that a run needs for its journal and log.
_FREE_DISK_BYTES = 16 << 20
#: A run whose journal has ended may need so long until its processes are gone.
_ENDING_S = 3.0
_LOOK_EVERY_S = 1.0


def launch(home: Home, line: bytes) -> Dict[str, Any]:
    """Start the run; return once its journal has begun, or it failed.

    The same specification may be sent again, e.g. after the connection broke: it gets the same reply.

    Raises:
        Failure: busy: another run measures, or somebody else holds the board; lease_lost; bad_request: there is another
            run of this name; or the run can't start, or failed before its first message.
    """
    try:
        spec = RunSpec.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error
    home.create()
    BoardLease(home).require(spec.lease_token)
    Power(home, board_root()).restore_after(spec.lease_token, keep_damaged=True)
    folder = home.run(spec.run_id)
    lock = _take_lock(home, folder, spec)
    if lock is None:
        return _reply_of(folder, spec.run_id)
    release_place(folder.path)
    shutil.rmtree(folder.path, ignore_errors=True)  # the remains of a launch that died before its run began
    os.ftruncate(lock, 0)
    os.pwrite(lock, spec.run_id.encode(), 0)
    open_runtime(spec.runtime)
    parts = spec.parts()
    _check_memory(sum(_check_files(home, part, part.model_files()) for part in parts))
    sweep(home)
    _check_disk(home)
    _verify(home, parts, spec.lease_token)
    _make_folder(home, folder, spec, parts)
    return _start(folder, spec.run_id, lock)


def _take_lock(home: Home, folder: RunFolder, spec: RunSpec) -> Optional[int]:
    """Return the locked descriptor of the board's lock, or None if this very run has begun already.

    The kernel releases the lock when the last process that has it ends.
    """
    lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _ENDING_S
    requested = spec.to_json()
    while True:
        taken = _try_lock(lock)
        if _has_begun(folder, requested):
            os.close(lock)
            return None
        if taken:
            return lock
        holder = os.pread(lock, 256, 0).decode("utf-8", "replace") or "another run"
        # If it is this very run, another launch of it is under way, and will succeed or fail soon.
        if holder != spec.run_id and time.monotonic() > deadline:
            raise Failure("busy", f"run {holder} is measuring on this board; try again when it is done")
        time.sleep(0.05)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_begun(folder: RunFolder, requested: bytes) -> bool:
    """Return whether this very run has written a message.

    Raises:
        Failure: bad_request: the run of this name has another specification.
    """
    try:
        if folder.spec.read_bytes() != requested:
            raise Failure("bad_request", f"run {folder.path.name} is on this board already, and not the same")
        return _first_line(folder).endswith(b"\n")
    except FileNotFoundError:
        return False


def _reply_of(folder: RunFolder, run_id: str) -> Dict[str, Any]:
    """Return the reply of a launch whose run has written its first message: hello, or a failure."""
    first = decode_message(_first_line(folder)).message
    if isinstance(first, Failed):
        raise Failure(first.kind, first.message)
    return {"run_id": run_id, "pid": int(folder.pid.read_text())}


def _first_line(folder: RunFolder) -> bytes:
    with os.fdopen(open_journal(folder.journal), "rb") as journal:
        return journal.readline(MAX_LINE_BYTES)


def _check_files(home: Home, spec: RunSpec, files: List[ModelFile]) -> int:
    """Check that a model's files and inputs are on the board; return the size of the model in bytes."""
    size = 0
    for file in files:
        path = home.blob(file.sha256) if file.path is None else Path(file.path)
        if not path.is_file():
            where = f"blob {file.sha256[:12]}... of the model's file {file.name}" if file.path is None else file.path
            raise Failure("not_found", f"{where} is not on the board; push it first")
        if file.path is not None and path != Path(files[0].path or "").parent / file.name:
            # A model refers to its other files by their paths from its own folder.
            raise Failure("bad_request", f"{file.path} must be named {file.name} and be in the folder of the model")
        size += path.stat().st_size
    inputs = home.blob(spec.inputs_sha256)
    if not inputs.is_file():
        raise Failure("not_found", f"the inputs, {inputs.name}, are not on the board; push them first")
    tokens = sum(spec.lengths)
    if inputs.stat().st_size != 4 * tokens or not tokens:
        raise Failure("bad_request", f"the inputs are {inputs.stat().st_size} bytes, not 4 x {tokens} tokens")
    return size


def _verify(home: Home, parts: List[RunSpec], token: int) -> None:
    """Make sure that the blobs of a run have their content, where they may have changed since they were verified.

    The host verifies files that it names by path. `token`: of the board's lease, which is kept meanwhile.

    Raises:
        Failure: corrupt; blobs that have changed are removed, so that they can be pushed again.
    """
    verified, lease = Verified(home), BoardLease(home)
    keep_lease = paced(lambda: lease.renew(token) if token else None)
    names = {file.sha256: file.name for part in parts for file in part.model_files() if file.path is None}
    names.update({part.inputs_sha256: "inputs" for part in parts})
    changed = [sha256 for sha256 in names if not verified.is_right(home.blob(sha256), sha256, keep_lease)]
    for sha256 in changed:
        home.blob(sha256).unlink()
    if changed:
        listed = ", ".join(sorted(names[sha256] for sha256 in changed))
        raise Failure("corrupt", f"{listed} had changed on the board since the push, and was removed; push it again")


def _check_memory(needed: int) -> None:
    available = memory_available()
    if available is not None and needed > available:
        raise Failure(
            "out_of_memory",
            f"what is to be loaded has {needed} bytes and {available} bytes of memory are free; "
            f"take a smaller format, or end other programs on the board",
        )


def _check_disk(home: Home) -> None:
    disk = os.statvfs(home.runs)
    free = disk.f_bavail * disk.f_frsize
    if free < _FREE_DISK_BYTES:
        raise Failure("out_of_disk", f"{free} bytes of disk are free at {home.root}, a run needs {_FREE_DISK_BYTES}")


def _make_folder(home: Home, folder: RunFolder, spec: RunSpec, parts: List[RunSpec]) -> None:
    """Make the run's folder, with hard links to its blobs, which `clean` then leaves alone."""
    folder.path.mkdir(mode=0o700)
    try:
        with Verified(home).kept():
            for number, part in enumerate(parts):
                _link_blobs(home, folder, part, number)
        RunLease(folder.renewed).renew()
        unfinished = folder.spec.with_suffix(".part")
        unfinished.write_bytes(spec.to_json())
        unfinished.rename(folder.spec)  # another launch must not see a partial file
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise


def _link_blobs(home: Home, folder: RunFolder, part: RunSpec, number: int) -> None:
    folder.model(number).mkdir()
    for file in part.model_files():
        if file.path is None:
            (folder.model(number) / file.name).parent.mkdir(parents=True, exist_ok=True)
            _link(home.blob(file.sha256), folder.model(number) / file.name)
    _link(home.blob(part.inputs_sha256), folder.inputs(number))


def _link(blob: Path, link: Path) -> None:
    try:
        os.link(blob, link)
    except FileExistsError:
        raise Failure("bad_request", f"two files of the model have the name {link.name}") from None
    os.utime(blob)  # `clean` removes the least recently used first


def _start(folder: RunFolder, run_id: str, lock: int) -> Dict[str, Any]:
    ready, notify = os.pipe()
    command, environment = own_command("supervise", run_id, str(lock), str(notify))
    with folder.log.open("ab") as log:
        supervisor = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock, notify),
        )
    os.close(notify)
    os.close(lock)
    pulse = PulseWatch(folder)
    try:
        while not select.select([ready], [], [], _LOOK_EVERY_S)[0]:
            pulse.look(missing_counts=True)
    except Failure:
        supervisor.kill()
        raise
    word = os.read(ready, 64)
    if word:
        return _reply_of(folder, run_id)
    log_tail = one_line(folder.log.read_bytes()[-2000:].decode("utf-8", "replace")) or "its log is empty"
    raise Failure("crashed", f"the run's supervisor did not start: {log_tail}")
