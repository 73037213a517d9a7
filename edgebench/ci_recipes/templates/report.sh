kept="${EDGEBENCH_KEPT:-$HOME/edgebench-ci}"
export PATH="$kept/venv/bin:$PATH" EDGEBENCH_STORE="$kept/store"
if [ -e gate.json ]; then
  set -- --gate "$(python3 -c 'import json; print(json.load(open("gate.json"))["id"])')"
elif [ -e result.json ]; then
  set -- result.json
else
  echo "there is no result, and so no report"
  exit 0
fi
edgebench report "$@" --out report.html
edgebench report "$@" --markdown --out report.md
<<SUMMARY>>
