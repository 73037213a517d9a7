#!/bin/sh
# Measure a baseline and a candidate in one session, and fail if the candidate is slower or scores worse.
#
#   BASELINE=runs/xnli-english CANDIDATE=runs/xnli-multi DEVICE=pi4 sh examples/ci/compare.sh --format onnx-int8
#
# Exit codes: 0 not slower, 1 error, 2 wrong request, 3 slower or worse, 4 the measurement is not valid.
# Options go to `edgebench profile`. FAIL_ON=slower,worse,inconclusive also fails when nothing could be decided.
set -eu
baseline=${BASELINE:?name the model to compare with}
candidate=${CANDIDATE:?name the model to check}
edgebench profile --device "${DEVICE:-pi4}" --model "$baseline" --model "$candidate" --json result.json "$@"
edgebench compare "$(basename "$baseline")" "$(basename "$candidate")" \
    --fail-on "${FAIL_ON:-slower,worse}" --json comparison.json
