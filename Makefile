# What a person runs. Everything is set up on the way, in .venv of this checkout.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt lock
PY := .venv/bin/python

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup:
	@scripts/setup

demo: setup ## real files by SFTP through a pipeline to their destination, before your eyes
	@$(PY) -m wharfinger demo --dir demo

test: setup ## everything: style, types, imports, every test (about 45 minutes); WHARF_NEEDS=postgres fails without Postgres
	@scripts/check
	@$(PY) -m pytest -q -n 2 --dist worksteal

check: setup ## the fast part: style, types, imports, unit tests (under 3 minutes)
	@scripts/check
	@$(PY) -m pytest -q -n 2 --dist worksteal -m "not slow" tests/unit tests/contract tests/docs

fmt: setup ## format the code
	@$(PY) -m ruff format -q . && $(PY) -m ruff check -q --fix .

lock: ## write requirements.lock anew (needs uv)
	@scripts/lock
