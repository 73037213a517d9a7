"""The fixture `edge_profile`: a model is measured on the board that the run of pytest has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from edgebench.device import Device
from edgebench.errors import ConfigError
from edgebench.workload import RunPlan, Workload

if TYPE_CHECKING:
    from edgebench.artifact import Format
    from edgebench.measure.profiling import ProfileOptions
    from edgebench.measurement import Measurement


@dataclass(frozen=True, slots=True)
class EdgeProfile:
    """Measures models on `device` into the store of the run; call it.

    `on_measured` receives each measurement; `defaults` are arguments of `edgebench.profile` that calls may replace.
    """

    device: Device
    store: str
    on_measured: Callable[[Measurement], None]
    defaults: ProfileOptions

    def __call__(
        self,
        model: str | Path,
        *,
        format: str | Format | None = None,
        lang: str | None = None,
        seq_len: int | None = None,
        texts: Sequence[str] | None = None,
        batch: int | None = None,
        threads: int | None = None,
        workload: Workload | None = None,
        runs: int | None = None,
        **options: Unpack[ProfileOptions],
    ) -> Measurement:
        """Measure one model, and return the Measurement; it is in the store, and budgets of the test apply to it.

        Args:
            model: a checkpoint's folder or hub id, an .onnx or .tflite file, or `reference:tiny|minilm|base|large`.
            format: an export format; leave it out for a file.
            lang: inputs in the token lengths of this language; or `seq_len` tokens, or `texts`; default: 128 tokens.
            batch: inputs in one inference.
            threads: of the runtime.
            workload: all of this, and the scenario, in one value instead.
            runs: fresh processes; default: 6, or what `plan` says.
            options: other arguments of `edgebench.profile`, such as `plan` and `cold`; not `device` and `store`.

        Raises:
            EdgebenchError: as `edgebench.profile`.
        """
        from edgebench.measure.profiling import profile

        for name in ("device", "store"):
            if name in options:
                raise ConfigError(f"edge_profile takes no {name}: that is the option --edge-{name} of pytest")
        described = {"lang": lang, "seq_len": seq_len, "texts": texts, "batch": batch, "threads": threads}
        given = [name for name, value in described.items() if value is not None]
        if workload is not None and given:
            raise ConfigError(f"edge_profile has a workload, and {' and '.join(given)} besides; give one of them")
        if workload is None:
            workload = Workload(
                lang=lang,
                seq_len=seq_len,
                texts=tuple(texts) if texts is not None else None,
                batch=batch if batch is not None else 1,
                threads=threads,
            )
        plan = options.get("plan") or RunPlan()
        arguments: ProfileOptions = {**self.defaults, **options}
        arguments["plan"] = replace(plan, runs=runs) if runs is not None else plan
        arguments["device"], arguments["store"] = self.device, self.store
        measured = profile(model, format=format, workload=workload, **arguments)
        self.on_measured(measured)
        return measured
