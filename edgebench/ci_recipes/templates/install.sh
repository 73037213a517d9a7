kept="${EDGEBENCH_KEPT:-$HOME/edgebench-ci}" # stays between jobs: installation, exports, results
[ -x "$kept/venv/bin/pip" ] || python3 -m venv "$kept/venv"
"$kept/venv/bin/pip" install --quiet <<PACKAGE>>
