# make book   set up .venv if needed, run the chapters (PROFILE=laptop), build the site
# make test   set up .venv if needed, lint, type-check and run every test
PYTHON  ?= python3
PROFILE ?= laptop
BIN     := .venv/bin
export OMP_WAIT_POLICY := PASSIVE

book: .venv/.stamp
	$(BIN)/radford run --profile $(PROFILE)
	$(BIN)/radford build --profile $(PROFILE)

test: .venv/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

# The stamp is a copy of what was installed from: a change to either file installs again.
.venv/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf _build runs

.PHONY: book test clean
