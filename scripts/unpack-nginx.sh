#!/usr/bin/env bash
# Puts Debian's nginx below node_modules/.cache without installing it: the package would start a web server on port 80.
set -euo pipefail
into=node_modules/.cache/nginx
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || [ -x $into/usr/sbin/nginx ] && exit 0
command -v apt-get >/dev/null || { echo "Missing: nginx. Install it with this system's package manager." >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
(cd "$scratch" && apt-get download -qq nginx) || { echo "Missing: nginx. Ask an administrator to run: apt-get update" >&2; exit 1; }
mkdir -p $into
dpkg-deb -x "$scratch"/nginx_*.deb $into
