kept="${EDGEBENCH_KEPT:-$HOME/edgebench-ci}"
export PATH="$kept/venv/bin:$PATH" EDGEBENCH_STORE="$kept/store" EDGEBENCH_CACHE="$kept/cache"
rm -f gate.json gate.xml gl-code-quality-report.json metrics.txt result.json report.html report.md
if [ -e baseline.json ]; then
  set -- gate --baseline baseline.json --json gate.json --junit gate.xml <<GATE_OPTIONS>>
else
  set -- profile --json result.json
fi
# exec: a job that is cancelled ends the measurement itself, which gives the board back; if it is killed at once, the
# board is free 120 s later.
exec edgebench "$@" --device="$EDGEBENCH_DEVICE" --model="$EDGEBENCH_MODEL" --wait 30m
