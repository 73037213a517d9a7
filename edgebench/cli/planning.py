"""`edgebench export --plan`: what files would take, without making them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgebench.artifact import Format
from edgebench.cli.output import console, progress_console, to_stdout, write_json


def show_plans(
    models: Sequence[str],
    formats: Sequence[Format],
    *,
    device: str | None,
    store: str,
    json_target: str | None,
    **settings: Any,
) -> None:
    """Print the plans of models in formats, and write them as JSON."""
    from edgebench.measure import plan_export
    from edgebench.reporting import plans_table

    progress = progress_console()
    plans = [
        plan
        for model in models
        for plan in plan_export(
            model,
            formats,
            device=device,
            store=store,
            on_progress=lambda text: progress.print(text, markup=False),
            **settings,
        )
    ]
    write_json(json_target, {"plans": [plan.to_json() for plan in plans]})
    if to_stdout(json_target):
        for part in plans_table(plans):
            console().print(part, markup=False)
