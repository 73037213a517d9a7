"""launch: check a run's specification against the board, and start it detached."""

import fcntl
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from .board import memory_available
from .failure import Failure
from .home import Home, RunFolder, own_command
from .journal import read_journal
from .lease import Lease
from .protocol import Failed, ModelFile, ProtocolError, RunSpec, one_line
from .runtimes import open_runtime

#: For the journal, the log and what they need.
_FREE_DISK_BYTES = 16 << 20
#: A run that has said how it ended may still be ending.
_ENDING_S = 3.0


def launch(home: Home, line: bytes) -> Dict[str, Any]:
    """Start the run; return once it has begun to measure, or failed to.

    Raises:
        Failure: the run can't start, or failed before its first message.
    """
    try:
        spec = RunSpec.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error
    home.create()
    lock = _take_lock(home, spec.run_id)
    open_runtime(spec.runtime)
    folder = home.run(spec.run_id)
    files = spec.model_files()
    _check_memory(_check_files(home, spec, files))
    _check_disk(home)
    _fill(home, folder, spec, files)
    return _start(folder, spec.run_id, lock)


def _take_lock(home: Home, run_id: str) -> int:
    """Return the locked descriptor of the board's lock; the kernel frees it when the last process that has it ends."""
    lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _ENDING_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(lock, 256, 0).decode("utf-8", "replace") or "another run"
                raise Failure("busy", f"run {holder} is measuring on this board; try again when it is done") from None
            time.sleep(0.05)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, run_id.encode(), 0)
            return lock


def running(home: Home) -> Optional[str]:
    """Return the run that measures on this board now, or None."""
    try:
        lock = os.open(home.lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that ask don't see each other
    except BlockingIOError:
        return os.pread(lock, 256, 0).decode("utf-8", "replace") or "another run"
    finally:
        os.close(lock)
    return None


def _check_files(home: Home, spec: RunSpec, files: List[ModelFile]) -> int:
    """Return the bytes of the model, all of whose files are there."""
    size = 0
    for file in files:
        path = home.blob(file.sha256) if file.path is None else Path(file.path)
        if not path.is_file():
            where = f"blob {file.sha256[:12]}... of the model's file {file.name}" if file.path is None else file.path
            raise Failure("not_found", f"{where} is not on the board; push it first")
        if file.path is not None and (path.name != file.name or path.parent != Path(files[0].path or "").parent):
            # A model finds its other files by their names, beside itself.
            raise Failure("bad_request", f"{file.path} must be named {file.name} and lie beside the model")
        size += path.stat().st_size
    inputs = home.blob(spec.inputs_sha256)
    if not inputs.is_file():
        raise Failure("not_found", f"the inputs, {inputs.name}, are not on the board; push them first")
    tokens = sum(spec.lengths)
    if inputs.stat().st_size != 4 * tokens or not tokens:
        raise Failure("bad_request", f"the inputs are {inputs.stat().st_size} bytes, not 4 x {tokens} tokens")
    return size


def _check_memory(needed: int) -> None:
    available = memory_available()
    if available is not None and needed > available:
        raise Failure(
            "out_of_memory",
            f"the model is {needed} bytes and {available} bytes of memory are free; "
            f"take a smaller format, or end other programs on the board",
        )


def _check_disk(home: Home) -> None:
    disk = os.statvfs(home.runs)
    free = disk.f_bavail * disk.f_frsize
    if free < _FREE_DISK_BYTES:
        raise Failure("out_of_disk", f"{free} bytes of disk are free at {home.root}, a run needs {_FREE_DISK_BYTES}")


def _fill(home: Home, folder: RunFolder, spec: RunSpec, files: List[ModelFile]) -> None:
    """Make the run's folder, with hard links to its blobs: they stay for as long as it needs them."""
    try:
        folder.path.mkdir(mode=0o700)
    except FileExistsError:
        raise Failure("bad_request", f"run {spec.run_id} is on this board already") from None
    try:
        folder.model.mkdir()
        for file in files:
            if file.path is None:
                _link(home.blob(file.sha256), folder.model / file.name)
        _link(home.blob(spec.inputs_sha256), folder.inputs)
        folder.spec.write_bytes(spec.to_json())
        Lease(folder.renewed).renew()
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise


def _link(blob: Path, link: Path) -> None:
    try:
        os.link(blob, link)
    except FileExistsError:
        raise Failure("bad_request", f"two files of the model have the name {link.name}") from None
    os.utime(blob)  # `clean` takes the ones that were used longest ago


def _start(folder: RunFolder, run_id: str, lock: int) -> Dict[str, Any]:
    ready, told = os.pipe()
    command, environment = own_command("supervise", run_id, str(lock), str(told))
    with folder.log.open("ab") as log:
        supervisor = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock, told),
        )
    os.close(told)
    os.close(lock)
    word = os.read(ready, 64)
    if word == b"hello\n":
        return {"run_id": run_id, "pid": supervisor.pid}
    raise _why_it_failed(folder)


def _why_it_failed(folder: RunFolder) -> Failure:
    with suppress(OSError, ProtocolError, IndexError):
        last = read_journal(folder.journal)[-1].message
        if isinstance(last, Failed):
            return Failure(last.kind, last.message)
    log = folder.log.read_bytes()[-2000:].decode("utf-8", "replace")
    return Failure("crashed", f"the run's supervisor did not start: {one_line(log) or 'its log is empty'}")
