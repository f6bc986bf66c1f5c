# Two commands matter: `make demo` and `make test`. Both set themselves up from a fresh clone; the second call starts at once.
PYTHON ?= python3
# The build that this revision is tested with. Take another with, for example: make test TORCH='torch>=2.10'
TORCH ?= torch==2.13.0
BIN := .venv/bin
STAMP := .venv/.installed
# One thread per test process: two torch processes with two threads each on two cores slow each other down several times over.
export TOKENIZERS_PARALLELISM = false

.PHONY: demo test lint format pocket clean

demo: $(STAMP)  ## train deep_insert, evaluate it, ask it about pictures; leaves the model in runs/demo
	$(BIN)/midstream demo

test: lint  ## everything that CI runs
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q

lint: $(STAMP)  ## style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## put the sources into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

WEIGHTS := src/midstream/pocket/weights
pocket: $(STAMP)  ## make the shipped weights again: LM (29 + 24 minutes on 2 cores), encoders (14 and less each), connectors
	$(BIN)/python -m midstream.pocket.pretrain lm --out runs/lm
	$(BIN)/python -m midstream.pocket.pretrain lm --known runs/lm --minutes 24
	for part in lm-deep lm-opt encoder audio video molecule series; do $(BIN)/python -m midstream.pocket.pretrain $$part || exit 1; done
	$(BIN)/midstream train best --out $(WEIGHTS)/model --force
	for pair in audio:audio video:video molecule:molecules series:series; do \
	  $(BIN)/midstream train $${pair#*:} --out $(WEIGHTS)/model-$${pair%:*} --force || exit 1; done

clean:  ## remove the environment and caches; runs/ stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build src/*.egg-info

# torch first and by itself: an installed build is kept by the range in pyproject.toml, whatever newer ones there are.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $(STAMP)
