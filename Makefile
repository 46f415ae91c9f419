# Needs python3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_ENABLE_ONEDNN_OPTS ?= 1

.PHONY: demo clothing omniglot demo-page test test-web lint format benchmark clean

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

clothing: $(VENV)/demo.stamp  ## the same for photos that a CSV file names and labels, some labels missing
	$(BIN)/python -m pipelines.clothing $(ARGS)

omniglot: $(VENV)/demo.stamp  ## the same for eight data sets with a task each
	$(BIN)/python -m pipelines.omniglot $(ARGS)

demo-page: $(VENV)/demo.stamp  ## a page that runs the trained example in the browser; needs npm
	rm -rf runs/page
	$(BIN)/python -m pipelines.multi_fashion.samples --out runs/samples
	$(BIN)/python -m mtl_keras.cli demo-page savedmodels/multi_fashion/example --samples runs/samples --out runs/page $(ARGS)

test: lint  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Chromium and its driver from Debian's packages where they are missing; npm has to be there
test-web: $(VENV)/dev.stamp  ## the demo page in a real browser; renews its picture in the documentation
	command -v chromium && command -v chromedriver || (apt-get update && apt-get install -y chromium chromium-driver)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-web.txt
	npm install --prefix .web --no-audit --no-fund --ignore-scripts --no-save \
		"$$($(BIN)/python -c 'from mtl_keras.export._demo_page import LITERT; print(LITERT)')"
	MTL_KERAS_SCREENSHOT=docs/images/demo_page.png $(BIN)/python -m pytest tests/web -rs $(ARGS)

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
	rm -rf $(VENV) .web build dist *.egg-info runs
