"""The formats of one checkpoint as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, Format, Parity
from edgebench.reporting.figures import rounded
from edgebench.reporting.layout import PlainTable
from edgebench.text import counted

if TYPE_CHECKING:
    from edgebench.xtreme_r import Retrieval

Row = tuple[Format, Artifact | None, "Retrieval | None", str | None]
_FP32 = {"onnxruntime": Format.ONNX_FP32, "tflite": Format.TFLITE_FP32}


def formats_table(rows: Sequence[Row]) -> Iterator[PlainTable | str]:
    """Yield what to print of (format, artifact, retrieval, error) rows."""
    with_retrieval = any(retrieval is not None for _, _, retrieval, _ in rows)
    elsewhere = any(artifact is not None and artifact.parity_elsewhere for _, artifact, _, _ in rows)
    columns = ["format", "MB", "x fp32", "seconds", "peak MB", "max diff", "parity"]
    columns += ["parity in others"] * elsewhere + ["retrieval", "worst language"] * with_retrieval
    table = PlainTable(
        *columns,
        figures=columns[1:],
        hide_first=("peak MB", "seconds", "max diff", "parity in others", "worst language"),
    )
    sizes = {format: artifact.bytes for format, artifact, _, _ in rows if artifact is not None}
    for format, artifact, retrieval, error in rows:
        if artifact is None:
            table.add_row(str(format), "failed", *[""] * (len(columns) - 2))
            continue
        cells = [
            str(format),
            rounded(artifact.bytes / 1e6),
            _ratio(artifact.bytes, sizes.get(_FP32[format.runtime])),
            _or_dash(artifact.seconds, 1.0),
            _or_dash(artifact.peak_rss_bytes, 1e6),
            *_parity_cells(artifact.parity),
        ]
        if elsewhere:
            cells.append(_worst(artifact.parity_elsewhere))
        if with_retrieval and retrieval is not None:
            worst = retrieval.worst
            cells += [f"{retrieval.mean:.1f} %", f"{worst} {retrieval.accuracy[worst]:.1f} %"]
        elif with_retrieval:
            cells += ["-", error or "-"]
        table.add_row(*cells)
    yield table
    yield "parity: what decides for this head, to torch's answers; max diff: of one number"
    runtimes = sorted({parity.runtime or "?" for _, made, _, _ in rows if made for parity in made.parity_elsewhere})
    if runtimes:
        yield f"others: {', '.join(runtimes)}; the worst is shown"
    for format, made, _, _ in rows:
        for shortfall in made.shortfalls if made is not None else ():
            yield f"{format}: parity accepted beyond its limit: {shortfall}"
    for format, made, _, _ in rows:
        for runtime, reason in made.refused_by.items() if made is not None else ():
            yield f"{format}: {runtime} can't read it: {reason}"
    for _, _, retrieval, _ in rows:
        if retrieval is not None:
            step = 100 / retrieval.n
            yield (
                f"retrieval: accuracy in finding the aligned English text, mean of "
                f"{counted(len(retrieval.accuracy), 'language')} with "
                f"{counted(retrieval.n, 'text')} each: one text is {step:.1f} points"
            )
            if retrieval.truncated:
                yield f"{retrieval.truncated} texts were longer than the model allows, and were cut"
            break
    for format, _, _, error in rows:
        if error is not None:
            yield f"{format}: {error}"


def parity_text(parity: Parity | None) -> str:
    """Return the figure that decides whether a file is kept, the worst where there are several; "-": not known."""
    if parity is None:
        return "-"
    judged = [judgement for judgement in parity.judgements if judgement.measure in _SHOWN]
    if not judged:
        return f"cosine {parity.mean_cosine:.5f}"
    worst = min(judged, key=lambda judgement: judgement.headroom)
    value = f"{100 * worst.value:.1f} %" if worst.measure.startswith(_SHARES) else f"{worst.value:.5f}"
    mark = "" if not parity.shortfalls else " (accepted)"
    return f"{_SHOWN[worst.measure]} {value}{mark}"


#: Measures of parity that are shown in a table, with short names.
_SHOWN = {
    "argmax agreement": "argmax",
    "label agreement": "labels",
    "rank correlation": "rank corr.",
    "relative error": "error",
    "mean cosine": "cosine",
}
_SHARES = ("argmax", "label")


def _parity_cells(parity: Parity | None) -> tuple[str, str]:
    return f"{parity.max_abs_diff:.2g}" if parity is not None else "-", parity_text(parity)


def _worst(parities: Sequence[Parity]) -> str:
    return parity_text(min(parities, key=_headroom)) if parities else "-"


def _headroom(parity: Parity) -> float:
    """Return how far the nearest figure is from its limit; of older artifacts, which have no limits, the cosine."""
    judged = [judgement.headroom for judgement in parity.judgements if judgement.measure in _SHOWN]
    return min(judged, default=parity.mean_cosine)


def _ratio(size: int, reference: int | None) -> str:
    return f"{size / reference:.3f}" if reference else "-"


def _or_dash(value: float | None, unit: float) -> str:
    return rounded(value / unit) if value is not None else "-"
