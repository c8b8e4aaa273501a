# Two commands on a fresh machine: `make demo` (the whole way, on the embedded Hub) and `make test`.
# Each sets up its own .venv. `make demo RECIPE=real DATA=<folder>` does the same on the official files.
PYTHON ?= python3
RECIPE ?= demo
DEVICE ?= cpu
BIN := .venv/bin
export PYTHONPATH := $(CURDIR)
# Bars of our own are enough
export HF_DATASETS_DISABLE_PROGRESS_BARS := 1
export HF_HUB_DISABLE_PROGRESS_BARS := 1

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0   # first: elsewhere resolved, it may bring CUDA
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

.PHONY: install test quality style copies
install: .venv/.installed

test: install
	$(BIN)/python -m pytest

quality: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m hub_tools.hub.copies --check

style: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

copies: install
	$(BIN)/python -m hub_tools.hub.copies

# --- The whole way, stage by stage -------------------------------------------------------------------------------
STAGES := build_benchmark label_reviews build_corpus pretrain finetune report publish
HOME_OF_RUN := build/$(RECIPE)
HUB := $(BIN)/fsa hub run --root $(HOME_OF_RUN)/hub --
THREADS ?= $(shell nproc)
LAUNCH := $(BIN)/accelerate launch --quiet --num_cpu_threads_per_process $(THREADS) --config_file recipes/configs/accelerate/$(DEVICE).yaml
STUDENTS := $(RECIPE)/t5-sentiment-$(RECIPE)-tsa-rest14,$(RECIPE)/t5-sentiment-$(RECIPE)-asa-rest16

.PHONY: demo clean-demo space $(STAGES)
demo: install
	@if [ "$(RECIPE)" = demo ]; then $(BIN)/python -m hub_tools.reviews.sample $(HOME_OF_RUN)/data; fi
	@$(HUB) $(MAKE) --no-print-directory $(STAGES)
	@echo; echo "What next:"
	@echo "  make space RECIPE=$(RECIPE)           the students in your browser"
	@echo "  .venv/bin/fsa hub run --root $(HOME_OF_RUN)/hub -- .venv/bin/fsa extract reviews.csv --student $(firstword $(subst $(comma), ,$(STUDENTS)))"
	@echo "  .venv/bin/fsa hub serve --root $(HOME_OF_RUN)/hub      everything above, for any Hub client"

comma := ,
$(STAGES):
	@for config in recipes/configs/$(RECIPE)/$@*.yaml; do \
		$(LAUNCH) recipes/$@.py $$config $(if $(DATA),$(if $(filter build_benchmark label_reviews,$@),--data $(DATA))) || exit 1; \
	done

space: install
	FSA_STUDENT=$(STUDENTS) $(HUB) $(BIN)/python spaces/t5_sentiment/app.py

clean-demo:
	rm -rf build/demo
