# make install | demo | test | lint | bench: each works on a bare clone, on Linux and macOS.
#
# PYTHON    the interpreter the environment is made with (3.10 to 3.13)
# PIP_ARGS  more words for pip, such as another index with PyTorch's build for the CPU alone: the usual one for Linux
#           brings CUDA, some GB

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint bench system
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory system
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[slicer,report,test]'
	@touch $@

# Debian's python3 cannot make environments without python3-venv. Install it as root, else say what is missing.
system:
	@if ! command -v dpkg-query >/dev/null || $(PYTHON) -c 'import ensurepip' 2>/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing, ask who administers this machine: python3-venv"; exit 0; fi; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv

demo: $(STAMP)
	$(BIN)/leuda demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The tables of docs/RESULTS on the built-in phantom; DATASETS="a.json b.json" measures your own.
DATASETS ?=
BENCH_OUT ?= build/bench
bench: $(STAMP)
	$(BIN)/leuda bench $(DATASETS) --methods all --seeds 0,1,2 --augmentation paper,strong --out $(BENCH_OUT)
