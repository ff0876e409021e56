# make install | demo | test | lint | bench | results | screenshots: each works on a bare clone, on Linux and macOS.
#
# PYTHON    the interpreter the environment is made with (3.10 to 3.13)
# PIP_ARGS  more words for pip, such as another index with PyTorch's build for the CPU alone: the usual one for Linux
#           brings CUDA, some GB

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint bench results screenshots system
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory system
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[slicer,report,test]'
	@touch $@

# What the wheels need of the system, by Debian's names: python3-venv to make environments, what Qt and VTK draw with
# when there is no screen, and Xvfb with what Qt needs there. Installed as root, else what is missing is said.
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
	if [ "$$(id -u)" != 0 ]; then echo "missing, ask who administers this machine:$$missing"; exit 0; fi; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing

demo: $(STAMP)
	$(BIN)/leuda demo --out demo

# Files in parallel, then one after the other the tests that measure time.
test: $(STAMP)
	$(BIN)/python -m pytest -m 'not alone' --numprocesses auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -m alone

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every method on the built-in phantom, with a table; DATASETS="a.json b.json" measures your own.
DATASETS ?=
BENCH_OUT ?= build/bench
bench: $(STAMP)
	$(BIN)/leuda bench $(DATASETS) --methods all --seeds 0,1,2 --augmentation paper,strong --out $(BENCH_OUT)

# The tables of docs/RESULTS.md, from the results that are stored in Testing/benchmarks.
results: $(STAMP)
	$(BIN)/python Testing/benchmarks/results_tables.py

# The pictures of docs/TUTORIAL.md, from phantom data alone; the first call trains a model for them.
screenshots: $(STAMP)
	QT_QPA_PLATFORM=offscreen PYTHONPATH=Testing $(BIN)/python Testing/slicer/screenshots.py
