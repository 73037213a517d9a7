"""Boards and workloads as several commands name them on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.cli.numbers import parts, whole_numbers
from edgebench.errors import UnknownName, UsageError
from edgebench.input_texts import read_input_texts
from edgebench.workload import Scenario, Workload

if TYPE_CHECKING:
    from edgebench.device import Device

#: Samples of a query where `--batch` is not given.
_SAMPLES = {Scenario.MULTI_STREAM: 8, Scenario.OFFLINE: 8}


def named_boards(devices: tuple[str, ...]) -> list[str]:
    """Return the distinct names of boards; `all` stands for those of edgebench.toml."""
    from edgebench.device import configured_devices, looked_in

    if "all" not in devices:
        return list(dict.fromkeys(devices))
    known = sorted(configured_devices())
    if not known:
        raise UsageError(
            f"--device all: no edgebench.toml names a board ({looked_in()}); try: edgebench device add NAME --host ..."
        )
    return list(dict.fromkeys([*(name for name in devices if name != "all"), *known]))


def named_device(name: str | None, host: str | None, host_key: str | None) -> Device:
    """Return the board of that name, at `host` if that is set; without a name, a board known only by its host."""
    from edgebench.device import Device, configured_devices, find_device, load_profile, parse_address, profile_names

    if host is None:
        return find_device(name or "local")
    user, address, port = parse_address(host)
    known = configured_devices().get(name or "")
    if known is not None:
        return replace(known, host=address, user=user or known.user, port=port or known.port, host_key=host_key)
    if name is not None and name not in profile_names():
        find_device(name)  # raises an error that suggests similar names
    profile = load_profile(name or "generic-linux")
    return Device(name=name or address, profile=profile, host=address, user=user, port=port, host_key=host_key)


def requested_workloads(
    shape: Workload, seq_len: int | None, lang: str | None, texts: Path | None, batch: int | None, threads: str | None
) -> list[Workload]:
    """Return one workload for each language and number of threads.

    Of parallel texts, `lang` chooses the languages; without it, each is a workload.
    """
    found = read_input_texts(texts) if texts is not None else None
    of_languages = found.parallel if found is not None else None
    if sum(option is not None for option in (seq_len, lang if of_languages is None else None, texts)) > 1:
        raise UsageError("--seq-len, --lang and --texts exclude each other (--lang chooses among parallel texts)")
    inputs: list[Workload] = []
    if of_languages is not None:
        for language in parts(lang) or of_languages:
            if language not in of_languages:
                raise UnknownName("language", language, of_languages, hint=str(texts))
            inputs.append(Workload(texts=of_languages[language], texts_lang=language))
    elif found is not None:
        inputs.append(Workload(texts=found.lines))
    else:
        languages: list[str | None] = [*parts(lang)] or [None]
        inputs += [Workload(seq_len=seq_len, lang=language) for language in languages]
    sweep: list[int | None] = [*whole_numbers(threads, "--threads")] or [None]
    samples = batch if batch is not None else _SAMPLES.get(shape.scenario, 1)
    return [
        replace(
            shape,
            seq_len=each.seq_len,
            lang=each.lang,
            texts=each.texts,
            texts_lang=each.texts_lang,
            batch=samples if batch is not None else _at_most(samples, each, shape),
            threads=number,
        )
        for each in inputs
        for number in sweep
    ]


def _at_most(samples: int, inputs: Workload, shape: Workload) -> int:
    """Return the default batch, which few texts do not fill."""
    return samples if inputs.texts is None else min(samples, len(inputs.texts) // (shape.choices or 1) or 1)
