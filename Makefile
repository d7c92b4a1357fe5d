# make demo: a right answer to a question about a picture. make test: everything that is held to be true.
PYTHON ?= python3
VENV ?= .venv

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(VENV)/bin/visprog ask examples/signs.png "What is written on the red octagon?" --html visprog-demo.html

test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -e '.[dev]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build *.egg-info
