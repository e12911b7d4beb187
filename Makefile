# Every target sets up .venv first (nothing to do when it is up to date) and then calls one Python entry point.
#
# The first time, pip installs everything that constraints.txt names. On Linux the torch of PyPI brings CUDA
# along (several GB). Without a GPU, make .venv yourself and install PyTorch's CPU build into it first.
#
# Variables: PYTHON (the Python that makes .venv, 3.11 or later), ARGS (handed on to the command),
# SUBMISSIONS (the folder that `make grade` grades; without it ARGS must say what to do, as in ARGS=--probe).

PYTHON ?= python3
ARGS ?=
SUBMISSIONS ?=
VGLIB := .venv/bin/python -m vglib

.DEFAULT_GOAL := help
.PHONY: help book test lab bench reproduce exercises grade environment clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: environment ## build the HTML book; prints where it is
	@$(VGLIB) book $(ARGS)

test: environment ## run all checks and tests (ARGS="-k clipping" goes to pytest)
	@$(VGLIB) test $(ARGS)

lab: environment ## open the chapters in JupyterLab
	@$(VGLIB) lab $(ARGS)

bench: environment ## run the benchmarks
	@$(VGLIB) bench $(ARGS)

reproduce: environment ## compute the results that chapters show, where missing (ARGS="recall --jobs 4")
	@$(VGLIB) reproduce $(ARGS)

exercises: environment ## write the exercises as learners get them (ARGS="FOLDER")
	@$(VGLIB) exercises $(ARGS)

grade: environment ## grade what was handed in: make grade SUBMISSIONS=folder (ARGS="--jobs 4")
	@$(VGLIB) grade $(if $(SUBMISSIONS),"$(SUBMISSIONS)") $(ARGS)

environment: ## set up .venv with everything in it
	@$(PYTHON) vglib/course/environment.py

clean: ## delete the built book and all caches; .venv stays
	@$(PYTHON) -c "import shutil; [shutil.rmtree(name, ignore_errors=True) for name in ('_build', '.pytest_cache', '.ruff_cache', '.import_linter_cache', '.hypothesis')]"
