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

# libegl1           the window-less OpenGL context slicer-core renders the demo's scene in
# libgl1-mesa-dri   the software renderer behind it, where there is no graphics card
# python3-venv      Debian's python3 cannot make environments without it (asked for only then)
APT := libegl1 libgl1-mesa-dri

.PHONY: install demo test lint bench system
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory system
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[slicer,report,test]'
	@touch $@

# Debian and its like alone, and only as root. Elsewhere say what is missing and go on: only pictures of scenes need it.
system:
	@command -v dpkg-query >/dev/null || exit 0; \
	missing=; \
	for name in $(APT); do \
	  dpkg-query -W -f '$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$name"; \
	done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "missing, ask who administers this machine:$$missing"; exit 0; fi; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing

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
