# make install | demo | test | test-quick | lint | fuzz | bench | bench-speed | results | screenshots: each works on a bare
# clone, on Linux and macOS; fuzz needs Linux.
#
# PYTHON    the interpreter for creating the environment (3.10 to 3.13)
# PIP_ARGS  extra arguments for pip, such as an index with the CPU-only build of PyTorch: the default build for Linux
#           includes CUDA, several GB

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-quick lint fuzz bench bench-speed results screenshots system
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory system
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[slicer,report,test]'
	@touch $@

# System packages that the wheels need, by their Debian names: python3-venv to create environments, the libraries that
# Qt and VTK need to draw without a screen, and Xvfb with the libraries that Qt needs there. They are installed when make
# runs as root; otherwise, missing ones are listed.
APT := libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libfontconfig1 libxkbcommon0 libdbus-1-3 libgssapi-krb5-2 \
       fonts-dejavu-core libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-util1 \
       libxcb-xkb1 libxkbcommon-x11-0 xvfb
system:
	@command -v dpkg-query >/dev/null || exit 0; \
	has() { dpkg-query -W -f '$${Status}' "$$1" 2>/dev/null | grep -q 'ok installed'; }; \
	missing=; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing=' python3-venv'; \
	for name in $(APT); do has $$name || has $${name}t64 || missing="$$missing $$name"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing packages, ask your administrator to install:$$missing"; exit 0; fi; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing

demo: $(STAMP)
	$(BIN)/leuda demo --out demo

# The fast tests, for the inner loop of development: under three minutes on two cores.
test-quick: $(STAMP)
	$(BIN)/python -m pytest -m 'not alone and not slow' --numprocesses auto --maxprocesses 4 --dist loadfile

# All tests: test files run in parallel; the tests that measure time then run one by one.
test: $(STAMP)
	$(BIN)/python -m pytest -m 'not alone' --numprocesses auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -m alone

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Damaged inputs for every reader, SECONDS for each, or for READER="nrrd dicom" alone; what fails is kept in build/fuzz.
# `make fuzz GUIDED=1` needs `pip install atheris` and lets it choose the inputs by the code that they reach.
SECONDS ?= 60
READER ?=
SEED ?= 0
GUIDED ?=
fuzz: $(STAMP)
	PYTHONPATH=Testing:Testing/core OMP_NUM_THREADS=1 $(BIN)/python -m fuzz$(if $(GUIDED),.guided) --seconds $(SECONDS) \
		--seed $(SEED) $(addprefix --reader ,$(READER))

# Every method on the built-in phantom, with a table; DATASETS="a.json b.json" uses your own data.
DATASETS ?=
BENCH_OUT ?= build/bench
bench: $(STAMP)
	$(BIN)/leuda bench $(DATASETS) --methods all --seeds 0,1,2 --augmentation paper,strong --out $(BENCH_OUT)

# The figures of docs/PERFORMANCE.md, on an idle machine, half an hour on two cores. Other libraries get an environment of
# their own.
PEERS := build/peers/bin
bench-speed: $(STAMP)
	$(BIN)/python Testing/benchmarks/bench_segment.py
	$(BIN)/python Testing/benchmarks/bench_worker.py
	$(BIN)/python Testing/benchmarks/bench_training.py
	$(BIN)/python Testing/benchmarks/bench_training_memory.py
	$(BIN)/python Testing/benchmarks/bench_scale.py batch --count 300
	test -x $(PEERS)/python || $(PYTHON) -m venv build/peers
	$(PEERS)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e . monai nnunetv2
	$(PEERS)/python Testing/benchmarks/bench_peers.py

# The tables of docs/RESULTS.md, from the results stored in Testing/benchmarks.
results: $(STAMP)
	$(BIN)/python Testing/benchmarks/results_tables.py

# The pictures of docs/TUTORIAL.md, from phantom data only; the first call trains a model for them.
screenshots: $(STAMP)
	QT_QPA_PLATFORM=offscreen PYTHONPATH=Testing $(BIN)/python Testing/slicer/screenshots.py
