#!/bin/sh
# Profile a model on a board from a CI job: no prompt, no terminal, the exit code says how it went
# (0 done, 1 error, 2 wrong request, 4 the measurement can't be trusted, 130 cancelled).
#
#   MODEL=runs/xnli-multi DEVICE=pi4 sh examples/ci/profile.sh result.json
#
# The board is named in edgebench.toml, with its host key pinned there (edgebench device add ... --host-key), so that
# nothing is asked. Options after the file name go to edgebench as they are.
set -eu
result=${1:?name the file for the result}
shift
edgebench profile --device "${DEVICE:-pi4}" --model "${MODEL:?name the model}" --json "$result" "$@"
