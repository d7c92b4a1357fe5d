# make demo: answer a question about an image. make test: run all tests.
# make nightly: weakenings, fuzzers and soak test, some hours; the results go to docs/nightly.json.
# All install the versions of constraints.txt; make test-latest installs the newest versions and runs the tests on them.
PYTHON ?= python3
VENV ?= .venv
LATEST = $(VENV)-latest
PYTEST = -m pytest -q -n 2 --dist loadfile

.PHONY: demo test test-latest nightly lint clean

demo: $(VENV)/installed
	$(VENV)/bin/visprog ask examples/signs.png "What is written on the red octagon?" --html visprog-demo.html

test: $(VENV)/installed-dev
	$(VENV)/bin/python $(PYTEST)

test-latest: | $(LATEST)/bin/python
	$(LATEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[dev]'
	$(LATEST)/bin/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+.*//' > $(LATEST)/versions
	@echo "Versions of constraints.txt (<), and those installed instead (>):"
	@sed 's/;.*//' constraints.txt | diff - $(LATEST)/versions | grep '^[<>] [^#]' || true
	$(LATEST)/bin/python $(PYTEST)

nightly: $(VENV)/installed-dev
	$(VENV)/bin/python -m tests.fuzz.nightly

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/bin/python $(LATEST)/bin/python:
	$(PYTHON) -m venv $(@:/bin/python=)

# Built with the setuptools of constraints.txt: left to itself, pip builds with the newest.
$(VENV)/installed $(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt setuptools
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.$(EXTRAS)'
	touch $(VENV)/installed $@

$(VENV)/installed-dev: EXTRAS = [dev]

clean:
	rm -rf $(VENV) $(LATEST) build *.egg-info
