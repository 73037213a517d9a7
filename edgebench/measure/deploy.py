"""Deployment: check that the board can run what was prepared, and bring artifacts and inputs there."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.board import push_artifact
from edgebench.measure.alternation import tag_alternating
from edgebench.measure.cells import Cell, cells_of
from edgebench.measure.context import Session
from edgebench.measure.predictions import with_predictions
from edgebench.measure.preparation import Prepared
from edgebench.measure.sweep import conditions_of


def deploy(session: Session, prepared: Sequence[Prepared]) -> list[Cell]:
    """Check the board, predict what its memory must hold, push what it needs, and return the cells to measure.

    Raises:
        BoardError: the board can't run these artifacts, or has too little memory or disk.
        ConfigError: models are to alternate that can't.
    """
    agent, request = session.agent, session.request
    artifacts = list({row.artifact.sha256: row.artifact for row in prepared}.values())
    conditions = conditions_of(agent, session.power, request, artifacts, session.on_event)
    cells = tag_alternating(cells_of(prepared, conditions, request, session=session.id), request)
    cells = with_predictions(cells, request.device, session.store, session.on_event)
    for artifact in artifacts:
        push_artifact(agent, artifact, session.on_event)
    for cell in cells:
        agent.push_bytes(cell.inputs.to_bytes())
    return cells
