# One environment in .venv, made by the first target that needs it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed
DATA   ?=
OUT    ?= demo-output
JOBS   ?= 2

.PHONY: help setup demo test lint bench pretrain release-check matrix clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## ?/  make \1\t/' | expand -t 20

setup: $(STAMP)  ## environment with everything that demo, tests and benchmarks need

# constraints pin torch: without them pip may take a CPU-only build that does not match torchvision
$(STAMP): pyproject.toml constraints.txt hatch_build.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v < (3, 14) else "synthaug needs Python 3.10 to 3.13, this is %d.%d: make PYTHON=python3.12 setup" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: setup  ## the main job end to end; DATA=/path/to/nnUNet_raw/DatasetXXX_Name takes your own data set
	$(BIN)/synthaug demo --out $(OUT) $(if $(DATA),--data $(DATA))

test: setup  ## all tests, JOBS files at a time
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

lint: setup  ## style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: docs
docs: setup  ## the documentation's site, in site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: setup  ## the benchmarks that need nothing but the shipped weights
	@# the others need data sets, caches or weights: see their first lines
	@set -e; for script in $(addprefix benchmarks/,import_time.py sample_speed.py sampler_sweep.py live_chaos.py); do echo "== $$script"; $(BIN)/python $$script; done

pretrain: setup  ## train pretrained/ventricles-t1-1mm anew (see its README for data and recipe)
	bash pretrained/ventricles-t1-1mm/train.sh

release-check:  ## build sdist and wheel, install the wheel alone, use it (BORROW=1: with the libraries of this environment)
	PYTHON=$(if $(BORROW),$(BIN)/python,$(PYTHON)) bash .ci/release-check $(if $(BORROW),--borrow)

matrix:  ## Python 3.10 to 3.13 with the small libraries, then nnU-Net 2.6 to the newest with the trainer's tests
	bash .ci/matrix
	PYTHON=$(BIN)/python bash .ci/matrix --nnunet

clean:  ## remove what demo and tests wrote; the environment stays
	rm -rf $(OUT) site .pytest_cache .mypy_cache .ruff_cache
