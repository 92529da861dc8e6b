# Everything a contributor types. `make demo` and `make test` set up a fresh machine.
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup plan deploy-checks demo test slow check format clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	python3.11 -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

plan: setup            ## the TPU compiler too, for `ptsys plan` and its tests
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[plan]'

deploy-checks: setup   ## what tests/deploy checks charts, images and units with
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[deploy,traces]'

demo: setup            ## three users' prompts tuned together on the built-in model
	$(BIN)/ptsys quickstart

test: setup            ## the tests CI runs
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -rs --durations 30

slow: setup            ## the tests CI leaves out
	$(BIN)/python -m pytest -m slow

check: setup           ## lint, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info
