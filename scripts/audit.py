"""Known vulnerabilities in what is locked: pip-audit for requirements.txt, npm audit for package-lock.json.

Fails for a vulnerability, and for a package left out where others were looked up. Where the advisories can't be reached
it says so and passes: a machine without them must be able to run `make check`, and a check that did not happen must not
look like one that did.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
PIP_AUDIT = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off",
             "--format", "json", "--requirement", "requirements.txt"]  # fmt: skip
NPM_AUDIT = ["npm", "audit", "--json", "--package-lock-only"]


def python_findings(report: Any) -> list[str] | None:
    """`name version: advisory` for each vulnerability in pip-audit's report, and what it could not look up beside
    others that it could; None when it could look up nothing."""
    dependencies = report.get("dependencies", []) if isinstance(report, dict) else []
    audited = [each for each in dependencies if "vulns" in each]
    if not audited:
        return None
    vulnerable = [f"{each['name']} {each['version']}: {found['id']}" for each in audited for found in each["vulns"]]
    skipped = [f"{each['name']}: NOT audited: {each['skip_reason']}" for each in dependencies if "skip_reason" in each]
    return vulnerable + skipped


def npm_findings(report: Any) -> list[str] | None:
    """`name: severity` for each vulnerable package in npm's report; None when nothing could be looked up."""
    if not isinstance(report, dict) or "vulnerabilities" not in report:
        return None
    return [f"{name}: {found['severity']}" for name, found in report["vulnerabilities"].items()]


def report_of(command: list[str]) -> Any:
    """The JSON a tool printed, or None."""
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def main() -> int:
    """1 when a vulnerability is known, else 0."""
    status = 0
    for what, findings in (
        ("Python", python_findings(report_of(PIP_AUDIT))),
        ("npm", npm_findings(report_of(NPM_AUDIT))),
    ):
        if findings is None:
            print(f"{what}: the advisories cannot be reached from here; NOT audited.")
        elif findings:
            print(f"{what}: known vulnerabilities, or not audited:\n  " + "\n  ".join(findings))
            status = 1
        else:
            print(f"{what}: no known vulnerability.")
    return status


if __name__ == "__main__":
    sys.exit(main())
