# Every target sets up what it needs. `make demo` is the place to start; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
HRCAM_DATA ?= ../shared/data
export HRCAM_DATA

.PHONY: help setup demo test lint evaluate bench docs screenshots slicer-host dist clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cli,scene,train,evaluate,batch,test]'
	touch $@

setup: $(VENV)/.ready  ## create .venv with everything pinned by constraints.txt

demo: setup  ## localize a simulated lesion in a real template, write results and a picture to demo-output/
	$(BIN)/hrcam demo --out demo-output

test: setup  ## run the tests (installs GL and Xvfb with Testing/install_system_packages.sh when they are missing)
	bash Testing/install_system_packages.sh
	$(BIN)/python -m pytest

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

evaluate: setup  ## the tables of docs/RESULTS.md, on the real data in $(HRCAM_DATA); slow
	$(BIN)/hrcam evaluate --data $(HRCAM_DATA) --out docs

bench: setup  ## speed and memory as ratios to the plain forward, docs/bench/
	$(BIN)/python Testing/bench/run.py

screenshots: setup  ## Resources/Screenshots, taken from the Slicer host
	$(BIN)/python Testing/host/screenshots.py

slicer-host: setup  ## open the module in a window on real MRML, without Slicer
	$(BIN)/python -m Testing.host

dist: setup  ## wheel and sdist
	$(BIN)/python -m build

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist demo-output
