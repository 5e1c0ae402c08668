# Every target is one command that a person could type.
VENV ?= .venv
BIN := $(VENV)/bin
TINY ?= runs/tiny
READY := $(VENV)/.ready

# Threads that wait do not spin: on shared processors that is the difference between 0.1 s and 2 s.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: setup demo test check docs figures mini foleyworld tiny bench mutate

setup: $(READY)  ## make .venv with everything pinned

$(READY): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)  ## the soundtrack of a bundled clip: drums that are drawn, so it is told what they are and sees when
	$(BIN)/frieren generate frieren/assets/demo.mp4 --sound drums -o out/demo.mp4
	@echo "Listen to it: $(CURDIR)/out/demo.mp4"

test: $(READY)  ## the tests
	HF_HUB_OFFLINE=1 $(BIN)/pytest

check: $(READY)  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)  ## this documentation as a site, in out/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Read it: $(CURDIR)/out/site/index.html"

figures: $(READY)  ## the picture of the bundled clip with its sound
	$(BIN)/python docs/figures.py

mini: $(READY)  ## train the model that ships, from the recordings in AUDIO=DIR; what was stopped goes on
	$(BIN)/frieren prepare mixtures:train:9000,valid:256 data/mixtures --recordings "$(AUDIO)" --model mini \
	    --seconds 8 --fields features,mean,log_variance,wave,mel
	$(BIN)/frieren train recipes/mini/recordings.toml --out runs/mini-other --audio "$(AUDIO)" --set seed=2
	$(BIN)/frieren train mini --audio "$(AUDIO)"

foleyworld: $(READY)  ## train the models of FoleyWorld, every part from nothing; AUDIO=DIR adds recordings
	$(BIN)/frieren train foleyworld $(if $(AUDIO),--audio "$(AUDIO)")

tiny: $(READY)  ## train the smallest model: every network, pairs, reflow and distillation, in seconds
	$(BIN)/frieren train tiny --out $(TINY)

bench: $(READY)  ## three takes of the bundled clip; the last line has the real-time factor
	$(BIN)/frieren generate frieren/assets/demo.mp4 --samples 3 -o out/bench/

mutate: $(READY)  ## plant faults one at a time: which of them does no test notice? ONLY="solver flow" for some files
	OMP_NUM_THREADS=1 nice $(BIN)/python tests/mutate.py $(ONLY)
