# make install | demo | test | lint | bench: each works on a bare clone, on Linux and macOS.
#
# PYTHON    the interpreter the environment is made with (3.10 to 3.13)
# PIP_ARGS  more words for pip. PyPI's torch for Linux brings CUDA (some GB); for the CPU build alone:
#           make install PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# libegl1           the window-less OpenGL context slicer-core renders the demo's scene in
# libgl1-mesa-dri   the software renderer behind it, where there is no graphics card
APT := libegl1 libgl1-mesa-dri

.PHONY: install demo test lint bench system
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory system
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[slicer,report,test]'
	@touch $@

# Debian and its like alone, and only as root; elsewhere say what is missing and go on: only pictures of scenes need it.
system:
	@if command -v dpkg-query >/dev/null; then \
	  missing=; for p in $(APT); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	  if [ -z "$$missing" ]; then :; \
	  elif [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
	  else echo "missing, for pictures of Slicer scenes:$$missing (apt-get install needs root)"; fi; \
	fi

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
