# The two commands of the README are `make profile` and `make test`; both build what they need.
PYTHON ?= python3
BIN := .venv/bin
# Some images of Python set this: each of the many processes of tests would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Tests run side by side, a file's in one process, files with slow tests first (tests/conftest.py). They wait a lot, so
# that four at a time keep two cores busy.
JOBS ?= 4
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: venv profile test test-fast test-long test-openssh test-arm64 test-virtual-board chaos fuzz check docs bench bench-large \
	clean

venv: .venv/.complete

# torch first and by itself: 2.13.0 is the version that the exporters were checked with. Python compiles what it imports:
# pip would compile 19,000 modules, for a minute and a half.
.venv/.complete: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "edgebench needs Python >= 3.11; try: make PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { echo "can't make a virtual environment; try: apt install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --no-compile torch==2.13.0
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	@touch $@

profile: venv
	$(BIN)/edgebench profile

test: venv
	$(PYTEST) -m 'not long and not openssh and not arm64 and not virtual_board'

# For work in between: what is pure, and the agent; no export, no SSH server, no session.
FAST := $(addprefix tests/,agent analysis board cli gating reporting stats store study xtreme_r)
test-fast: venv
	$(BIN)/pytest -n 4 --dist worksteal -m 'not slow and not long and not openssh' $(FAST)

# What takes longest: every head to TFLite, searches, tuning, real setups, interrupted sessions. CI runs it, too.
# Neighbours in the list stay in one process, which shares what they need, until another has nothing left to do.
test-long: venv
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m 'long and not openssh and not arm64 and not virtual_board'

# A whole board with its own kernel, in QEMU; root, qemu-system-arm, mmdebstrap and zstd are needed. CI runs one of the
# four scenarios: make test-virtual-board SCENARIO=loses_its_power.
SCENARIO ?=
test-virtual-board: venv
	$(BIN)/pytest -m virtual_board $(if $(SCENARIO),-k $(SCENARIO))

test-openssh: venv
	$(BIN)/pytest -m openssh

# A whole Debian for arm64, emulated; root, qemu-user-static, mmdebstrap and zstd are needed.
test-arm64: venv
	$(BIN)/pytest -m arm64

# Search for inputs that are not refused as they should be; all targets: make fuzz TARGET= SECONDS=120.
TARGET ?= journal
SECONDS ?= 600
fuzz: venv
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet --no-compile --editable '.[fuzz]'
	PYTHONPATH=.:agents $(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS)

# N trials, each a session with one fault at a random moment; fails if an inference is lost or doubled, a command hangs,
# or a result is false. With root, ip and OpenSSH there are more faults. `--n 1 --seed S` of tests.faults repeats a trial.
N ?= 200
SEED ?= 1
CHAOS_JOBS ?= 2
chaos: venv
	$(BIN)/python -m tests.faults --n $(N) --seed $(SEED) --jobs $(CHAOS_JOBS)

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file agents/mypy.ini agents/edgebench_agent
	$(BIN)/vermin --quiet --no-tips --violations --target=3.8- --backport dataclasses --backport typing agents/edgebench_agent
	$(BIN)/lint-imports

docs: venv
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: venv
	$(BIN)/python -m benchmarks

# XLM-R large, random weights: every format made and checked, then run. Takes 7 GB of memory, ten minutes, 7 GB of disk.
bench-large: venv
	$(BIN)/edgebench export --model reference:large --compare-formats
	$(BIN)/edgebench profile --model reference:large --format onnx-int8,tflite-int8 --runs 2

clean:
	rm -rf .venv .edgebench dist build docs/_build docs/commands docs/python
