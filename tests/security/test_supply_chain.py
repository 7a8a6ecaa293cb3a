"""Dependencies are pinned by hash and run no install scripts, and the repository holds no secret."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from assetdock_server.identity import api_key
from scripts.audit import npm_findings, python_findings

PROJECT = Path(__file__).parents[2]

SECRETS = {
    "an API key of ours": re.compile(r"rk_live_[0-9A-Za-z]{46}"),
    "a Supabase secret key": re.compile(r"sb_secret_[0-9A-Za-z_-]{20,}"),
    "a JWT": re.compile(r"eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"),
    "a private JWK": re.compile(r'"d"\s*:\s*"[A-Za-z0-9_-]{40,}"'),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a webhook secret": re.compile(r"whsec_[A-Za-z0-9+/=]{32,}"),
    "an AWS key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return [PROJECT / name for name in listed.split("\0") if name and (PROJECT / name).is_file()]


def secrets_in(text: str) -> list[str]:
    found = []
    for what, pattern in SECRETS.items():
        for match in pattern.finditer(text):
            # The checksum distinguishes a real key from an example in the documentation.
            if what == "an API key of ours" and not api_key.is_well_formed(match.group()):
                continue
            found.append(what)
    return found


def test_every_python_package_is_pinned_by_hash() -> None:
    lock = (PROJECT / "requirements.txt").read_text()
    entries = re.findall(
        r"^([A-Za-z0-9_.\[\]-]+)(==\S+)?.*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock, re.M
    )

    assert len(entries) > 60
    assert all(version for _, version, _ in entries)
    assert len(entries) == len(re.findall(r"^[A-Za-z0-9]", lock, re.M))
    assert "--index-url" not in lock
    assert "://" not in lock


def test_every_declared_dependency_is_in_the_lock_file() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = {
        line.split("==")[0].replace("_", "-").lower()
        for line in (PROJECT / "requirements.txt").read_text().splitlines()
    }

    missing = [each for each in declared if re.split(r"[\[<>=]", each)[0].replace("_", "-").lower() not in locked]
    assert missing == []


def test_npm_packages_have_exact_versions_and_hashes_and_run_no_scripts() -> None:
    manifest = json.loads((PROJECT / "package.json").read_text())
    for group in ("dependencies", "devDependencies", "optionalDependencies"):
        for name, version in manifest.get(group, {}).items():
            assert re.fullmatch(r"\d+\.\d+\.\d+[\w.-]*", version), f"{name} {version} is not an exact version"
    packages = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    for path, package in packages.items():
        if path:
            assert package["integrity"].startswith("sha512-"), path
            assert "resolved" not in package, path
    assert "ignore-scripts=true" in (PROJECT / ".npmrc").read_text().splitlines()
    assert "npm ci --ignore-scripts" in (PROJECT / "Makefile").read_text()


def test_no_secret_is_in_the_repository() -> None:
    found = [
        (str(path.relative_to(PROJECT)), secret)
        for path in tracked()
        for secret in secrets_in(path.read_text(errors="ignore"))
    ]

    assert found == []


@pytest.mark.parametrize(
    "planted",
    [
        api_key.make().plaintext,
        "sb_" + "secret_" + "a" * 31,
        "-----BEGIN " + "PRIVATE KEY-----",
        "AK" + "IA" + "A" * 16,
    ],
    ids=["API key", "Supabase key", "private key", "cloud key"],
)
def test_the_search_finds_a_planted_secret(planted: str) -> None:
    assert secrets_in(f"x = '{planted}'")


def test_an_audit_distinguishes_a_vulnerability_from_an_audit_that_did_not_run() -> None:
    skipped = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
    clean = {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}
    vulnerable = {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}
    partial = {"dependencies": [*vulnerable["dependencies"], *skipped["dependencies"]]}

    assert python_findings(skipped) is None
    assert python_findings(None) is None
    assert python_findings(partial) == ["a 1: PYSEC-1", "a: NOT audited: not found"]
    assert python_findings(clean) == []
    assert python_findings(vulnerable) == ["a 1: PYSEC-1"]
    assert npm_findings({"message": "405"}) is None
    assert npm_findings({"vulnerabilities": {}}) == []
    assert npm_findings({"vulnerabilities": {"x": {"severity": "high"}}}) == ["x: high"]
