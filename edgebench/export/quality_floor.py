"""Quality floor: a quantised file reaches it by keeping as few layers as that needs in higher precision."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from edgebench.artifact import Format
from edgebench.errors import ParityError
from edgebench.export.cache import TEMPORARY
from edgebench.export.floor_measure import Examples
from edgebench.export.floor_search import Choice, FloorSearch, Found, Trial, Without
from edgebench.export.floor_trials import Stand, checkpoint_name
from edgebench.export.onnx_file import DATA_NAME, MODEL_NAME
from edgebench.quality import KeptLayer, QualityFloor

_SHOWN = 3  # layers in a message
_SAID_EACH = 20  # trials


def reach_floor(
    stand: Stand,
    examples: Examples,
    folder: Path,
    *,
    format: Format,
    floor: float,
    say: Callable[[str], None],
) -> QualityFloor:
    """Replace the quantised file in a folder by one that reaches a floor, unless it does already.

    Raises:
        ParityError: no choice of layers reaches it.
    """
    start = time.perf_counter()
    measure = examples.measure_name
    say(f"measuring the {measure} for the quality floor {floor:g}")
    before = examples.measure_both(folder / MODEL_NAME)
    bytes_before = _bytes(folder)
    found, after, ratio = None, before, None
    if before.least < floor:
        layers = len({choice.layer for choice in stand.choices})
        say(f"{measure} {before.search:.5g}, held out {before.held_out:.5g}: searching {layers} layers")
        measured = count(1)

        def trial(kept: frozenset[Choice]) -> Trial:
            if (number := next(measured)) % _SAID_EACH == 0:
                say(f"searching: {number} files measured")
            return stand.measure(kept)

        found = FloorSearch(stand.choices, trial, stand.measure_held_out, floor).run()
        if not found.is_reached:
            raise ParityError(_not_reached(found, examples, format, floor, layers))
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder.parent) as kept:
            for path in list(folder.iterdir()):
                shutil.move(path, Path(kept) / path.name)
            say(f"writing {format} with {len(found.kept)} layers kept")
            stand.write(folder, frozenset(found.kept))
            after = examples.measure_both(folder / MODEL_NAME)
            if after.least < floor:  # the stand-in has the same graph and numbers: a fault of edgebench
                raise ParityError(
                    f"{examples.checkpoint.source}: {format} has a {measure} of {after.least:.6g}, its stand-in in the"
                    f" search {found.after.least:.6g} (floor {floor:g}); nothing was written"
                )
            if not (folder / DATA_NAME).exists():
                ratio = examples.p50_ratio(folder / MODEL_NAME, Path(kept) / MODEL_NAME)
    return QualityFloor(
        floor=floor,
        measure=measure,
        before=before,
        after=after,
        search_inputs=len(examples.searched),
        held_out_inputs=len(examples.held_out),
        held_out_decided=found.held_out_decided if found is not None else False,
        kept=tuple(_kept(choice, found.without[choice], measure) for choice in found.kept) if found else (),
        bytes_before=bytes_before,
        size_ratio=_bytes(folder) / bytes_before,
        p50_ratio=ratio,
        trials=found.trials if found is not None else 0,
        seconds=round(time.perf_counter() - start, 3),
    )


def _kept(choice: Choice, without: Without, measure: str) -> KeptLayer:
    return KeptLayer(
        name=choice.layer,
        weights=tuple(checkpoint_name(name) for name in choice.weights),
        precision=choice.precision,
        bytes=choice.bytes,
        without=without.value,
        reason=f"without it, {measure} {without.value:.6g} ({'held out' if without.is_held_out else 'search'})",
    )


def _not_reached(found: Found, examples: Examples, format: Format, floor: float, layers: int) -> str:
    names = [choice.layer for choice in found.kept]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    what = f"all {layers} layers" if len(names) == layers else f"{len(names)} of {layers} layers ({shown or 'none'})"
    values = f"{_in_full(found.after.search)}, held out {_in_full(found.after.held_out)}"
    return (
        f"{examples.checkpoint.source}: {format} does not reach the quality floor {floor:g}: the best"
        f" {examples.measure_name} is {values}, with {what} in float32; nothing was written; try: a lower"
        f" `quality_floor`, or `format='onnx-fp32'`"
    )


def _in_full(value: float) -> str:
    """Return a value so that it does not look like 1 if it is less."""
    shown = f"{value:.9g}"
    return f"1 - {1 - value:.1g}" if shown == "1" and value < 1 else shown


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
