"""Messages of the library as the command line shows them: arguments become options."""

from __future__ import annotations

import ast
import re
import shlex

from edgebench.cli.numbers import shown_duration

#: Arguments whose option is not the argument's name with hyphens.
_OPTIONS = {
    "affinity": "--cores",
    "cool_below_c": "--cool-below",
    "formats": "--format",
    "keep_bytes": "--max-size",
    "kind": "--from",
    "max_duration_s": "--max-duration",
    "max_warmup_s": "--max-warmup",
    "min_duration_s": "--min-duration",
    "models": "--model",
    "queries_per_s": "--qps",
    "runtimes": "--runtime",
    "sustained_min": "--sustained",
    "tasks": "--task",
    "wheels": "--wheel",
    "folder": "--download",
}
#: Arguments in seconds whose option takes a duration with a unit.
_TIMES = {"wait_s": "--wait", "budget_s": "--budget", "cool_wait_s": "--cool-wait", "wait_idle_s": "--wait-idle"}
#: Arguments that messages of the library name; other words in backticks, such as a foreign library's, stay.
_ARGUMENTS = frozenset(
    [
        "accept_parity",
        "again",
        "allow",
        "allow_variant_scores",
        "alternate",
        "baseline",
        "batch",
        "choices",
        "data",
        "force",
        "format",
        "host",
        "host_key",
        "keep_texts",
        "labels",
        "lang",
        "markdown",
        "latency_bound_ms",
        "min_count",
        "device",
        "model",
        "out",
        "output",
        "quality_floor",
        "reason",
        "replace",
        "runs",
        "scale",
        "scenario",
        "scores",
        "sentence_embedding",
        "seq_len",
        "session",
        "since",
        "split",
        "store",
        "system_python",
        "task",
        "texts",
        "tls_ca_file",
        "tls_cert",
        "tls_key",
        "executor",
        "tracking_uri",
        "truncate",
        "until_decided",
        "upgrade",
        "variant",
    ]
).union(_OPTIONS, _TIMES)
#: With a value, these are advice to run another command than the one that failed, which may lack the option.
_ELSEWHERE = {"task": "edgebench export --task"}
_ARGUMENT = re.compile(r"`([a-z][a-z_]*)(?:=([^`]*))?`")


def as_options(text: str) -> str:
    """Return a message with each argument in backticks replaced by the option that passes it.

    `format='onnx-int8'` becomes --format onnx-int8, `wait_s=1800` --wait 30m, `upgrade=True` --upgrade. The rule for
    messages is in `edgebench.errors`.
    """
    return _ARGUMENT.sub(lambda found: _option(found[1], found[2]) if found[1] in _ARGUMENTS else found[0], text)


def _option(name: str, shown: str | None) -> str:
    option = _TIMES.get(name) or _OPTIONS.get(name) or f"--{name.replace('_', '-')}"
    if shown is not None:
        option = _ELSEWHERE.get(name, option)
    if shown is None:
        return option
    try:
        value = ast.literal_eval(shown)
    except (ValueError, SyntaxError):  # a placeholder such as FILE
        return f"{option} {shown}"
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join(option if one is True else f"{option} {_word(name, one)}" for one in values)


def _word(name: str, value: object) -> str:
    if name in _TIMES and isinstance(value, int | float):
        return shown_duration(round(value))
    return shlex.quote(str(value))
