"""Looks up known vulnerabilities of the locked dependencies with pip-audit and npm audit.

Fails if a vulnerability is known, or if pip-audit skipped some of the packages. Without network access it prints that
nothing was audited and succeeds, because `make check` has to work offline.
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
    """`name version: advisory` for each vulnerability in a report of pip-audit, and a line for each package that it
    skipped; None if it audited no package."""
    dependencies = report.get("dependencies", []) if isinstance(report, dict) else []
    audited = [each for each in dependencies if "vulns" in each]
    if not audited:
        return None
    vulnerable = [f"{each['name']} {each['version']}: {found['id']}" for each in audited for found in each["vulns"]]
    skipped = [f"{each['name']}: NOT audited: {each['skip_reason']}" for each in dependencies if "skip_reason" in each]
    return vulnerable + skipped


def npm_findings(report: Any) -> list[str] | None:
    """`name: severity` for each vulnerable package in a report of npm audit; None if it audited nothing."""
    if not isinstance(report, dict) or "vulnerabilities" not in report:
        return None
    return [f"{name}: {found['severity']}" for name, found in report["vulnerabilities"].items()]


def run_json(command: list[str]) -> Any:
    """The JSON that a command prints, or None if it prints something else."""
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def main() -> int:
    """Returns the exit status."""
    status = 0
    for ecosystem, findings in (
        ("Python", python_findings(run_json(PIP_AUDIT))),
        ("npm", npm_findings(run_json(NPM_AUDIT))),
    ):
        if findings is None:
            print(f"{ecosystem}: NOT audited: the advisories cannot be reached.")
        elif findings:
            print(f"{ecosystem}: known vulnerabilities or skipped packages:\n  " + "\n  ".join(findings))
            status = 1
        else:
            print(f"{ecosystem}: no known vulnerabilities.")
    return status


if __name__ == "__main__":
    sys.exit(main())
