"""Sending runs: the trace first, run.json by a condition, and the index last. A run that is there is never changed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgebench.errors import EdgebenchError, StoreError
from edgebench.reading import parse_json, read_bytes
from edgebench.reason import ReasonCode
from edgebench.store.files import is_id
from edgebench.store.remote.bucket import Bucket
from edgebench.store.remote.catalogue import Catalogue
from edgebench.store.remote.run_index import RunIndex

_AT_A_TIME = 8
#: Runs that are named in the index together: after a connection broke, these are sent again at most.
_TOGETHER = 128
_EARLY = {str(ReasonCode.INTERRUPTED), str(ReasonCode.FAILED)}


class RunSender:
    """Brings runs of the replica to the bucket."""

    def __init__(self, bucket: Bucket, catalogue: Catalogue, index: RunIndex, folder: Path) -> None:
        self._bucket, self._catalogue, self._index, self._folder = bucket, catalogue, index, folder / "runs"

    def here(self) -> set[str]:
        """Return the ids of the runs in the replica, whether their traces are here or not."""
        try:
            return {path.name for path in self._folder.iterdir() if is_id(path.name)}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise StoreError(f"can't read {self._folder}: {error.strerror}") from error

    def unsent(self) -> list[str]:
        """Return the ids of runs that are in the replica only."""
        return sorted(self.here() - self._catalogue.ids() - self._catalogue.deleted())

    def send(self, ids: Sequence[str]) -> int:
        """Bring runs to the bucket; return how many. What was deleted there stays deleted.

        Raises:
            StoreError: one can't be brought there; those before it were.
        """
        deleted = self._catalogue.deleted()
        wanted = [id for id in ids if id not in deleted]
        for at in range(0, len(wanted), _TOGETHER):
            some = wanted[at : at + _TOGETHER]
            if len(some) == 1:
                self._send_files(some[0])
            else:
                with ThreadPoolExecutor(_AT_A_TIME) as threads:
                    list(threads.map(self._send_files, some))
            self._index.add(some)
        return len(wanted)

    def _send_files(self, id: str) -> None:
        folder, name = self._folder / id, f"runs/{id}/run.json"
        trace = folder / "trace.parquet"
        try:
            document = read_bytes(folder / "run.json", within=folder)
            content = read_bytes(trace, most=trace.stat().st_size, within=folder)
        except OSError as error:
            raise StoreError(f"can't read the run {folder}: {error.strerror}") from error
        is_new = self._bucket.create(f"runs/{id}/trace.parquet", content) is not None
        if is_new and self._bucket.create(name, document) is not None:
            return
        found = self._bucket.read_one(name)
        if found is not None and found[0] == document:
            return  # sent before, by this machine: the answer was lost
        if found is not None and not _ended_early(found[0]):
            raise StoreError(
                f"{self._bucket.shown(f'runs/{id}')} is another run of that id; a stored run is never changed",
                hint=f"remove {folder} to keep that one",
            )
        # Somebody was stopped in between, or the run was kept before it had ended: the same writer makes it complete.
        if found is not None:
            self._bucket.delete([name])
        self._bucket.upload({f"runs/{id}/trace.parquet": trace})
        if self._bucket.create(name, document) is None:
            raise StoreError(f"{self._bucket.shown(name)} was written by somebody else meanwhile; try again")


def _ended_early(document: bytes) -> bool:
    """Whether a run.json is of a run that was kept before it had ended."""
    try:
        codes = parse_json(document, exact=True)["run"]["reason_codes"]
        return bool(_EARLY & {str(code) for code in codes})
    except (EdgebenchError, ValueError, TypeError, KeyError):
        return False
