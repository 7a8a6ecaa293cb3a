"""The YAML files of the repository: they parse, and pin no tool that the lock files pin."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from devstack.binaries import PROJECT

GITHUB = PROJECT / ".github"
FILES = [PROJECT / ".pre-commit-config.yaml", *sorted(GITHUB.rglob("*.yml"))]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_yaml_file_parses(path: Path) -> None:
    assert load(path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_pins_actions_by_major_version_and_reads_only(path: Path) -> None:
    workflow = load(path)

    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert "run" in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def test_workflows_run_make_check_and_make_test() -> None:
    jobs = load(GITHUB / "workflows/check.yml")["jobs"]

    assert jobs["check"]["steps"][-1]["run"] == "make check"
    assert jobs["test"]["steps"][-1]["run"] == "make test"


def test_pre_commit_hooks_run_the_tools_of_make_check() -> None:
    repositories = load(PROJECT / ".pre-commit-config.yaml")["repos"]
    makefile = (PROJECT / "Makefile").read_text()

    assert [each["repo"] for each in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        tool = hook["entry"].split()[0]
        assert tool in makefile, hook["id"]
        assert (PROJECT / tool).exists(), hook["id"]


def test_issue_forms_have_what_github_requires() -> None:
    for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")):
        form = load(path)
        if path.name == "config.yml":
            continue
        assert {"name", "description", "body"} <= set(form), path
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields)
        assert all(field["attributes"]["label"] for field in fields)


def test_every_tracked_text_file_ends_with_a_newline() -> None:
    """As .editorconfig says."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.md", "*.py", "*.yml", "*.sql", "*.ts"],
                            cwd=PROJECT, check=True, capture_output=True, text=True).stdout  # fmt: skip
    files = [PROJECT / name for name in listed.split("\0") if name]

    assert [
        path for path in files if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    ] == []
