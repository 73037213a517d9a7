#!/bin/sh
# Profile a model on a board from a CI job. It never prompts; the exit code is the result
# (0 done, 1 error, 2 wrong request, 4 the measurement is not valid, 130 interrupted).
#
#   MODEL=runs/xnli-multi DEVICE=pi4 sh examples/ci/profile.sh result.json
#
# The board is in edgebench.toml with its host key (edgebench device add ... --host-key).
# Options after the file name go to `edgebench profile`.
set -eu
result=${1:?name the file for the result}
shift
edgebench profile --device "${DEVICE:-pi4}" --model "${MODEL:?name the model}" --json "$result" "$@"
