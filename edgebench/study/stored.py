"""A study whose boards were measured by benches: this machine's settings need not name them."""

from __future__ import annotations

from pathlib import Path

from edgebench.device import LOCAL
from edgebench.errors import UsageError
from edgebench.store import Store
from edgebench.study.file import Study, read_study


def read_study_of(path: Path, store: Store) -> Study:
    """Return the study that a STUDY.toml describes; a board may be unknown here if the store has measurements of it.

    Raises:
        ConfigError, UnknownName: as `read_study`.
    """
    try:
        return read_study(path)
    except UsageError:
        study = read_study(path, any_device=True)  # raises what is wrong with anything else
        elsewhere = {each.name for each in study.devices if each.is_local and each.name != LOCAL}
        if elsewhere and elsewhere <= {each.device.name for each in store.subjects()}:
            return study
        raise
