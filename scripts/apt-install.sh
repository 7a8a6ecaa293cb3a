#!/usr/bin/env bash
# Installs Debian packages as root or with passwordless sudo; without either, prints what to install and fails.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo -n)
else
  echo "Missing system packages: $*. Ask an administrator to run: apt-get install $*" >&2
  exit 1
fi
command -v apt-get >/dev/null || { echo "Missing system packages: $*. Install them with this system's package manager." >&2; exit 1; }
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
