#!/usr/bin/env bash
# Runs the suites that test Supabase's behaviour against a running project: the one of the environment (see
# tests/running_project.py), or else one that `supabase start` starts in Docker and that is stopped at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${SUPABASE_SECRET_KEY:-}" ]; then
  command -v docker >/dev/null || {
    echo "make conformance needs Docker, in which \`supabase start\` runs Supabase's servers, or the variables of a" \
      "running project: see tests/running_project.py." >&2
    exit 1
  }
  supabase=$(echo node_modules/@supabase/cli-*/bin/supabase)
  export SUPABASE_TELEMETRY_DISABLED=1
  trap '"$supabase" stop --no-backup' EXIT
  # Applies supabase/migrations, too.
  "$supabase" start --exclude imgproxy,logflare,mailpit,postgres-meta,realtime,studio,vector
  eval "$("$supabase" status --output env)"
  export DB_URL SUPABASE_URL=$API_URL SUPABASE_PUBLISHABLE_KEY=$PUBLISHABLE_KEY SUPABASE_SECRET_KEY=$SECRET_KEY
  export SUPABASE_JWT_SECRET=$JWT_SECRET
fi
.venv/bin/python -W error -m pytest --running-project "$@" \
  tests/contract tests/acceptance tests/service tests/security tests/tus tests/functions
