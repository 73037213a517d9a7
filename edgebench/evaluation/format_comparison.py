"""compare_formats(): one checkpoint in several formats, compared in size, export time, parity and retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgebench.artifact import EXPORT_FORMATS, Artifact, Format, parse_format
from edgebench.device import Device, find_device
from edgebench.errors import ConfigError, EdgebenchError, UsageError
from edgebench.evaluation.embeddings import prefix_of
from edgebench.evaluation.inference import sentence_vectors
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.export import (
    SENTENCE_EMBEDDING,
    Exported,
    encode_texts,
    existing_file,
    export_model,
    is_sentence_model,
)
from edgebench.text import counted
from edgebench.xtreme_r import Retrieval, retrieve


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatResult:
    """One format of a checkpoint; `error` says why there is none."""

    format: Format
    exported: Exported | None = None
    retrieval: Retrieval | None = None
    error: EdgebenchError | None = None

    @property
    def artifact(self) -> Artifact | None:
        """The exported files."""
        return self.exported.artifact if self.exported is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        shown = self.artifact.to_result() if self.artifact is not None else {}
        return {
            "format": str(self.format),
            **shown,
            "variant": self.exported.variant.to_json() if self.exported is not None else None,
            "cached": self.exported.cached if self.exported is not None else None,
            "retrieval": self.retrieval.to_json() if self.retrieval is not None else None,
            "error": str(self.error) if self.error is not None else None,
        }


def compare_formats(
    model: str | Path,
    formats: Sequence[Format | str] = (),
    *,
    texts: dict[str, list[str]] | None = None,
    prefix: str = "",
    truncate: bool = False,
    device: str | Device = "local",
    name: str | None = None,
    task: str | None = None,
    out: Path | None = None,
    max_seq_len: int | None = None,
    buckets: Sequence[int] | None = None,
    choices: int | None = None,
    cache: Path | None = None,
    accept_parity: bool = False,
    on_event: OnEvent = ignore,
) -> list[FormatResult]:
    """Export a checkpoint to several formats, and compare size, parity and, with `texts`, retrieval accuracy.

    Args:
        model: a Hugging Face folder, a hub id or `reference:...`.
        formats: default: all.
        texts: parallel texts by language, as `read_parallel` returns them. The device embeds each text with each
            artifact (as a sentence-transformers folder says, else by the mean of its states) and retrieves its
            translations. The model must be an encoder.
        prefix: put before each text, as some sentence encoders expect ("query: ").
        truncate: cut texts that are longer than the model allows.
        device: a name from edgebench.toml, `local`, or a Device; it answers the texts.
        name, task, out, max_seq_len, buckets, choices, cache, accept_parity: as for `edgebench.export_model`.
        on_event: receives progress, see `edgebench.events`.

    Returns:
        One result for each format, in the order of `formats`; a format that fails is a result with an `error`.

    Raises:
        UsageError: no such source, format or device.
    """
    if existing_file(model) is not None:
        raise ConfigError(f"{model} is a file of one format: there is nothing to compare; give the checkpoint")
    chosen = [parse_format(str(name)) for name in formats] or list(EXPORT_FORMATS)
    board = find_device(device) if isinstance(device, str) else device
    lines = [text for part in texts.values() for text in part] if texts is not None else []
    if lines and task is None and is_sentence_model(model):
        task = SENTENCE_EMBEDDING
    langs = list(texts or ())
    export = partial(
        export_model,
        model,
        name=name,
        task=task,
        out=out,
        max_seq_len=max_seq_len,
        buckets=buckets,
        choices=choices,
        cache=cache,
        accept_parity=accept_parity,
    )

    def results() -> Iterator[FormatResult]:
        for format in dict.fromkeys(chosen):
            exported = None
            try:
                exported = export(format, on_progress=partial(_report, format, on_event))
                found = None
                if lines:
                    on_event(LogMessage(f"{format}: {counted(len(lines), 'text')} on {board.name}"))
                    before = prefix_of(exported.artifact, prefix)
                    prefixed = [before + line for line in lines]
                    vectors = sentence_vectors(exported.artifact, prefixed, device=board, truncate=truncate)
                    cut = encode_texts(exported.artifact, prefixed, truncate=True).truncated if truncate else 0
                    found = replace(retrieve(vectors, langs), truncated=cut)
                yield FormatResult(format=format, exported=exported, retrieval=found)
            except UsageError:
                raise  # it would fail for every format
            except EdgebenchError as error:
                on_event(LogMessage(f"{format}: {error}"))
                yield FormatResult(format=format, exported=exported, error=error)

    return list(results())


def _report(format: Format, on_event: OnEvent, text: str) -> None:
    on_event(LogMessage(f"{format}: {text}"))
