# Needs python3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_ENABLE_ONEDNN_OPTS ?= 1

.PHONY: demo test lint format benchmark clean

$(VENV)/demo.stamp: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp  ## train, evaluate and export Multi-Fashion from the images in this repository
	$(BIN)/python -m pipelines.multi_fashion $(ARGS)

test: lint  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/dev.stamp  ## the longer measurements; results go to benchmarks/results
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info runs
