"""A bare board made ready for measurements, checked and cleaned.

A Device and a SetupPlan or a Request go in; findings, each with what fixes it, come out (Setup, Checkup, Cleanup,
Removal).
"""

from __future__ import annotations

from edgebench.provision.checkup import Checkup, check_device
from edgebench.provision.findings import Finding
from edgebench.provision.maintenance import Cleanup, Removal, clean_device, release_device, remove_setup
from edgebench.provision.plan import SetupPlan
from edgebench.provision.setup import Setup, set_up_device, set_up_for

__all__ = [
    "Checkup",
    "Cleanup",
    "Finding",
    "Removal",
    "Setup",
    "SetupPlan",
    "check_device",
    "clean_device",
    "release_device",
    "remove_setup",
    "set_up_device",
    "set_up_for",
]
