#!/usr/bin/env bash
# unpack-deb.sh PACKAGE: unpacks a Debian package into node_modules/.cache/debian without installing it. Installing the
# package of a server would start the server.
set -euo pipefail
into=$PWD/node_modules/.cache/debian
command -v apt-get >/dev/null || { echo "Missing: $1. Install it with this system's package manager." >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
apt-get download -qq "$1" 2>/dev/null || { echo "Missing: $1. Ask an administrator to run: apt-get update" >&2; exit 1; }
mkdir -p "$into"
dpkg-deb -x "$1"_*.deb "$into"
