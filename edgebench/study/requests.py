"""What a session of a study measures on one device."""

from __future__ import annotations

from edgebench.device import Device
from edgebench.request import Request
from edgebench.study.file import Study
from edgebench.workload import Workload
from edgebench.xtreme_r import find_task


def session_request(study: Study, device: Device, workloads: tuple[Workload, ...]) -> Request:
    """Return the request of a session that measures these workloads of a study on a device."""
    return Request(
        device=device,
        models=tuple(variant.source for variant in study.variants),
        formats=study.formats,
        workloads=workloads,
        plan=study.plan,
        seed=study.seed,
        margin=study.margin,
        overhead=study.overhead,
        cold=study.cold,
        alternate=study.alternate,
        wait_idle_s=study.wait_idle_s,
        journal=study.journal,
        accept_parity=study.accept_parity,
        sentence_embedding=any(find_task(task.name).group == "retrieval" for task in study.tasks),
    )
