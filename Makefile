# The README's two commands are `make demo` and `make test`. Both set up their own environment in .venv,
# from the project's files alone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/demo-ready
READY := $(VENV)/ready

.PHONY: demo test lint clean

demo: $(DEMO)
	$(BIN)/python -m training demo

# The tests in a real ComfyUI (skipped where there is none) one after the other; all others side by side, each process
# with one thread, as the processor's cores are all in use.
test: $(READY)
	$(BIN)/python -m pytest tests/host tests/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal \
		--ignore tests/host --ignore tests/browser

# mypy wants a package whose folder bears its name, which the plugin's folder need not.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/typing && ln -sfn "$(CURDIR)" $(VENV)/typing/perception_clip
	cd $(VENV)/typing && ../bin/mypy --config-file perception_clip/pyproject.toml -p perception_clip

# What the pack itself needs, and matplotlib for the report's pictures.
$(DEMO): pyproject.toml requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt matplotlib --editable .
	touch $(DEMO)

$(READY): $(DEMO)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $(READY)

clean:
	rm -rf $(VENV) demo_output build dist *.egg-info
