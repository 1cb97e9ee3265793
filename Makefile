# Every target sets up what it needs. `make demo` is the place to start; `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
HRCAM_DATA ?= ../shared/data
SAMPLE := HRCAMModule/Resources/SampleData/HRCAMSyntheticTumor.nrrd
export HRCAM_DATA

# PIP_OPTIONS: more options of pip, for example an index that has PyTorch without CUDA, a much smaller download.
PIP_OPTIONS ?=
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_OPTIONS)

.PHONY: help setup demo test test-versions lint evaluate reliability bench docs readme screenshots slicer-host api licenses constraints dist figures \
  dist-check audit clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "HR-CAM needs Python 3.10 or newer; name one, for example: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv is missing. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV); PyTorch is a large download, once ..."
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) 'pip>=23'

# What a user needs for the demo, and everything that the other targets need.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.ready: pyproject.toml constraints.txt | $(BIN)/python
	@$(INSTALL) --editable '.[demo,scene,batch,fast,train,evaluate,docs,test]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.ready  ## create .venv with everything pinned by constraints.txt

demo: $(VENV)/.demo  ## localize a simulated lesion in a real template, write results and a picture to demo-output/
	$(BIN)/hrcam demo --out demo-output

test: setup  ## run the tests (installs GL and Xvfb with Testing/install_system_packages.sh when they are missing)
	bash Testing/install_system_packages.sh
	bash Testing/run.sh $(BIN)/python

test-versions: setup  ## the core's tests with the oldest and newest allowed packages on Python 3.10 to 3.13 (large downloads)
	$(INSTALL) 'uv>=0.4'
	$(BIN)/python Testing/release/versions.py

lint: setup  ## ruff, mypy, and that rooms depend downwards alone
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd HRCAMExtension && ../$(BIN)/lint-imports --config ../pyproject.toml --no-cache

evaluate: setup  ## the tables of docs/RESULTS.md, on the real data in $(HRCAM_DATA); slow
	$(BIN)/hrcam evaluate --data $(HRCAM_DATA) --out docs

# Each process: the tests that the page names; the last one others besides, for so many seconds.
TRIED = COVERAGE_FILE=$(CURDIR)/build/.coverage PYTHONPATH=Testing:$$PYTHONPATH $(BIN)/python -m pytest -q -p faults.drawn --cov=hrcam \
  --cov-append --cov-report= -o junit_family=xunit1

reliability: setup  ## docs/RELIABILITY.md: the tests that it names, others drawn, a soak, kills and mutants; about half an hour of one core
	rm -rf build/tests build/.coverage
	mkdir -p build/tests
	bash Testing/install_system_packages.sh
	-for name in module_worker module_logic; do \
	  $(TRIED) --junitxml=build/tests/$$name.xml HRCAMModule/Testing/Python/test_$$name.py; done
	-$(TRIED) --junitxml=build/tests/kill.xml Testing/faults/test_faults_kill.py
	-$(TRIED) --junitxml=build/tests/others.xml --drawn-seconds 420 Testing/faults/test_faults_system.py Testing/engine
	COVERAGE_FILE=build/.coverage $(BIN)/coverage json -q -o build/coverage.json
	-$(BIN)/python Testing/bench/soak.py --model t1ce-tumor --input $(SAMPLE) --seconds 180 > build/soak.json
	-$(BIN)/python Testing/faults/kills.py --seconds 180 --out build/kills.json
	-$(BIN)/python Testing/faults/mutants.py --seconds 300 --out build/mutants.json
	$(BIN)/python Testing/faults/reliability.py build/tests/*.xml --soak build/soak.json --kills build/kills.json \
	  --mutants build/mutants.json --coverage build/coverage.json

bench: setup  ## speed and memory as ratios to the plain forward, docs/bench/
	$(BIN)/python Testing/bench/run.py

docs: setup  ## the documentation as a web site in site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html"

figures: setup  ## docs/figures/, drawn by the scripts beside them
	for script in docs/figures/*.py; do $(BIN)/python $$script || exit 1; done

readme: $(VENV)/.demo  ## write the bundled models' figures into README.md
	$(BIN)/python Testing/release/readme_results.py --write

screenshots: setup  ## Resources/Screenshots, from the Slicer host; without OpenGL it fails where they are older than panel or model
	$(BIN)/python Testing/host/screenshots.py

slicer-host: setup  ## open the module in a window on real MRML, without Slicer
	$(BIN)/python -m Testing.host

api: setup  ## accept the present public names and options: rewrites docs/public-api.txt
	$(BIN)/python Testing/release/public_api.py --write

licenses: setup  ## docs/licenses.md, of all packages in .venv
	$(BIN)/python Testing/release/licenses.py --write

constraints: setup  ## constraints.txt, from what is installed in .venv, and the licenses
	$(BIN)/python Testing/release/constraints.py --write
	$(BIN)/python Testing/release/licenses.py --write

dist: setup  ## wheel and sdist in dist/
	$(BIN)/python -m build

dist-check: setup  ## build both, install the wheel in a clean environment and run it there
	$(BIN)/python Testing/release/check_dist.py

audit: setup  ## known vulnerabilities of the pinned packages, from PyPI's advisories; pip-audit stays apart in build/audit
	@test -x build/audit/bin/python || $(BIN)/python -m venv build/audit
	@build/audit/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) 'pip-audit>=2.7'
	build/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist demo-output site
