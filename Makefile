# make            what there is
# Everything that is needed is installed by these targets themselves: Debian packages (as root), Python packages into .venv,
# Go tools into the user's cache.
PYTHON ?= python3
VENV := .venv/bin/python
# some containers set it; without bytecode each of a thousand starts of Python compiles what it imports, a preview for two seconds
unexport PYTHONDONTWRITEBYTECODE
# a set of drills is what one file has of them
DRILLS := $(sort $(patsubst tests/e2e/test_%.py,%,$(shell grep -l 'mark.drill' tests/e2e/test_*.py)))

.DEFAULT_GOAL := help
.PHONY: help up down status render plan verify test e2e drills lint lines crds requirements bench setup

help: ## Show this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

up: ## Bring up both regions, roll echo out, measure the split (root)
	@$(PYTHON) -m lab up

down: ## Remove everything of the lab but its logs and the cache
	@$(PYTHON) -m lab down

status: ## Say what is well in the lab and what is not
	@$(PYTHON) -m lab status

render: setup ## Write deploy/overlays from the stack files
	@$(VENV) -m rollout render

plan: setup ## Say what the working tree would do to the requests, and what of it is refused
	@$(VENV) -m rollout plan

verify: setup ## Measure the split again
	@$(VENV) -m rollout verify

setup:
	@$(PYTHON) -m lab.bootstrap

lint: setup ## Formatting, style, types, workflows, and whether the schema is rendered
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@$(VENV) -m stackfile.schema --check
	@$(PYTHON) -m lab go -C lab/toolchain/actionlint tool actionlint -shellcheck= -pyflakes= "$(CURDIR)"/.github/workflows/*.yaml
	@.venv/bin/zizmor --offline --quiet --persona pedantic .github

test: lint ## Everything that needs no cluster
	@for module in app/echo app/probe; do \
	  $(PYTHON) -m lab go -C $$module vet ./... && $(PYTHON) -m lab go -C $$module test ./... || exit 1; done
	@$(VENV) -m pytest -m "not e2e" -n auto --dist loadscope

e2e: setup ## The whole chain on two real clusters of its own: main roads and worst faults (root)
	@$(VENV) -m pytest -m "e2e and not drill" tests/e2e

drills: setup ## All other tests with clusters; of one or more sets: make drills SET="promotion updates" (root)
	@sets="$(or $(SET),$(DRILLS))"; for set in $$sets; do case " $(DRILLS) " in *" $$set "*) ;; *) \
	  echo "error: SET=$$set is no set of drills. The sets are: $(DRILLS)" >&2; exit 2;; esac; done; \
	$(VENV) -m pytest -m drill $$(printf 'tests/e2e/test_%s.py ' $$sets)

lines: setup ## How much code there is, by room
	@$(VENV) -m tests.lines

crds: setup ## Generate sdks/pulumi_kubernetes_istio anew from the pinned CRDs
	@$(PYTHON) -m lab go -C lab/toolchain/crdgen run . ../../../sdks/pulumi_kubernetes_istio
	@$(PYTHON) -m lab.bootstrap

requirements: ## Pin requirements.txt anew from requirements.in (needs pip-tools)
	@pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url \
	  --no-emit-find-links --output-file requirements.txt requirements.in

bench: setup ## Speed and memory, each beside what it is compared with (root, lab up)
	@for script in $$(grep -l "^def main" bench/*.py); do echo "== $$script"; $(VENV) -m bench.$$(basename $$script .py) || exit 1; done
