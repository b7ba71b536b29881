# `make` alone lists what there is to make.
PYTHON ?= python3
PORT ?= 8888
LAB_ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
FIRST := notebooks/00_play_with_labels.ipynb

.DEFAULT_GOAL := help
.PHONY: help venv lab check test fuzz demo player bench notebooks class badges site slides colab-check

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(INSTALLED)  ## install the project and its tools into .venv (Python 3.10 or newer; PYTHON=... chooses one)

# The known-good set was taken on Python 3.11; on 3.10 pip chooses from the ranges alone.
CONSTRAINTS = $$($(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info >= (3, 11) else "")')

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo 'animlab needs Python 3.10 or newer: make venv PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo 'This Python cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv).'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -e '.[dev]' $(CONSTRAINTS)
	@touch $@

lab: $(INSTALLED)  ## open notebook 00 in JupyterLab (PORT=8888, LAB_ARGS="--no-browser")
	$(BIN)/jupyter lab --port $(PORT) --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/$(FIRST) $(LAB_ARGS)

# A file stays with one worker, for its notebook's kernel or its server; conftest.py says how many workers, and the order.
WORKERS := -n auto --dist loadfile --no-loadscope-reorder

check: $(INSTALLED)  ## lint, types and the quick tests, in two minutes
	$(BIN)/ruff check
	$(BIN)/ruff format --check animlab tests data
	$(BIN)/mypy
	$(BIN)/python -m pytest tests -q $(WORKERS) -m "not notebook and not browser and not slow"

test: $(INSTALLED)  ## run every test: units, notebooks, a real browser
	$(BIN)/python -m pytest $(WORKERS)

# FUZZ=20000 takes ten times as long.
FUZZ ?= 2000
fuzz: $(INSTALLED)  ## try thousands of odd arguments and damaged files, different ones each time; more than half an hour on two cores
	ANIMLAB_FUZZ=$(FUZZ) $(BIN)/python -m pytest -n auto --dist worksteal tests/test_fuzz.py tests/test_fuzz_arguments.py

demo: $(INSTALLED)  ## draw runs/demo.gif and runs/demo.png (a filmstrip) with the shipped weights
	@mkdir -p runs
	$(BIN)/python -c 'import animlab; clip = animlab.load("pretrained/actions").animate(d=0, along=0, frames=16); \
	  [animlab.save_animation(clip, f"runs/demo.{kind}") for kind in ("gif", "png")]'
	@ls runs/demo.gif runs/demo.png

# A generator's folder has a filmstrip of what it draws; the networks of the metrics lie beside them.
player: $(INSTALLED)  ## write runs/player-NAME.html for every shipped model: a page that plays it without Python
	@mkdir -p runs
	$(BIN)/python -c 'import animlab, pathlib; \
	  [print(animlab.export_player(animlab.load(file.parent), f"runs/player-{file.parent.name}.html")) \
	   for file in sorted(pathlib.Path("data/pretrained").resolve().glob("*/filmstrip.*"))]'

bench: $(INSTALLED)  ## time the training step, the data, drawing and the player; some minutes, on an idle machine
	$(BIN)/python tests/benchmarks/all.py

notebooks: $(INSTALLED)  ## run every notebook from top to bottom and store it clean
	$(BIN)/python notebooks/run.py

class: $(INSTALLED)  ## pack runs/class.zip for students: no worked answers, nothing run yet (TEACHING.md)
	$(BIN)/python notebooks/class_kit.py runs/class.zip

badges:  ## write this repository's own address (git's origin) into the notebooks' Colab links and setup cells
	$(PYTHON) notebooks/badges.py

SITE := .venv/.site

$(SITE): $(INSTALLED)
	$(BIN)/python -m pip install -e '.[site]' $(CONSTRAINTS)
	@touch $@

site: $(SITE)  ## build the collection as pages into runs/site and check them: links, pictures, accessibility
	$(BIN)/python -m sphinx -W --keep-going -q -c notebooks/site -d runs/doctrees . runs/site
	$(BIN)/python notebooks/site/check.py runs/site

slides: $(SITE)  ## make slides of every lesson in runs/slides
	$(BIN)/python notebooks/slides.py runs/slides

# Python and the packages as Colab has them.
COLAB_PYTHON ?= python3.13
COLAB := .venv-colab

$(COLAB)/.installed: pyproject.toml constraints-colab.txt
	$(COLAB_PYTHON) -m venv $(COLAB)
	$(COLAB)/bin/python -m pip install -e '.[sweep]' -c constraints-colab.txt \
	  ipyparallel nbval notebook pandas psutil pytest pytest-xdist
	@touch $@

colab-check: $(COLAB)/.installed  ## run notebooks 00 and 04 and the widgets' tests with Colab's packages (COLAB_PYTHON=python3.13)
	@mkdir -p runs/colab
	for name in 00_play_with_labels 04_full_training; do \
	  $(COLAB)/bin/papermill --no-progress-bar --cwd runs/colab notebooks/$$name.ipynb runs/colab/$$name.ipynb || exit 1; done
	$(COLAB)/bin/python -m pytest -q tests/test_widgets.py tests/test_composer.py tests/test_explorer.py tests/test_games.py
