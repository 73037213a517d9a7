"""The specification of a run, for tests that make up what a board says of it: tests/fuzz/seeds/journal, say."""

from __future__ import annotations

from edgebench_agent import protocol

_MS, _SECOND = 1_000_000, 1_000_000_000

SPEC = protocol.RunSpec(
    run_id="r",
    mode="measure",
    runtime="onnxruntime",
    files=[],
    inputs_sha256="0" * 64,
    lengths=[4, 4],
    batch=1,
    pad_token_id=1,
    threads=0,
    providers=[],
    min_count=4,
    min_duration_ns=40 * _MS,
    max_duration_ns=_SECOND,
    lease_ns=600 * _SECOND,
)
