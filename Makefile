# Two commands set everything up on a machine with Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo

.PHONY: demo test lint pages site vectors clean

$(VENV)/.core: pyproject.toml constraints.txt setup.py $(wildcard dfccodec/native/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.core
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	touch $@

demo: $(VENV)/.core
	mkdir -p $(DEMO)
	$(BIN)/dfc encode examples/flower.mp4 -o $(DEMO)/flower.dfc --budget 8 -y
	$(BIN)/dfc inspect $(DEMO)/flower.dfc
	$(BIN)/dfc decode $(DEMO)/flower.dfc -o $(DEMO)/flower.mp4 -y
	@echo "look at $(DEMO)/flower.mp4 beside examples/flower.mp4"

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

pages: $(VENV)/.core
	$(BIN)/python docs/make_pages.py

site: $(VENV)/.docs
	$(BIN)/python docs/make_site.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open .site/html/index.html"

vectors: $(VENV)/.core
	$(BIN)/python formats/make_vectors.py

clean:
	rm -rf $(VENV) $(DEMO) .site *.egg-info build dist
