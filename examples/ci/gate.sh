#!/bin/sh
# Hold a model against the baseline that the repository names, and fail if it exceeds a budget in two sessions.
#
#   MODEL=runs/xnli-new DEVICE=pi4 sh examples/ci/gate.sh
#
# baseline.json is written once by: edgebench gate accept ID --as main --out baseline.json
# Its files are in the store: keep that folder between jobs ($EDGEBENCH_STORE). Budgets are in edgebench.toml.
# Exit codes: 0 passed or undecided, 1 error, 2 wrong request, 3 failed, 4 the measurement is not valid.
# Options go to `edgebench gate`, e.g. --github, or --fail-on inconclusive.
set -eu
edgebench gate --baseline "${BASELINE:-baseline.json}" --device "${DEVICE:-pi4}" --model "${MODEL:?name the model}" \
    --junit gate.xml --markdown gate.md --json gate.json "$@"
