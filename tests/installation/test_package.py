"""The wheel and the sdist: what they contain, and that the wheel works outside the checkout."""

import importlib.metadata
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from devstack.binaries import PROJECT
from devstack.ports import Ports
from devstack.stack import Stack
from tests.callers import Project, session_caller
from tests.installation.conftest import Distributions, Installed
from tests.processes import Service, WorkerProcess

MIGRATIONS = sorted(path.name for path in (PROJECT / "supabase/migrations").glob("*.sql"))
FUNCTION = sorted(path.name for path in (PROJECT / "supabase/functions/upload-url").iterdir())
GUIDES = sorted(path.name for path in (PROJECT / "docs/guides").iterdir())
MODULES = sorted(
    str(path.relative_to(PROJECT / "service")) for path in (PROJECT / "service/assetdock_server").rglob("*.py")
)


def test_the_wheel_contains_modules_page_guides_migrations_and_function(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        names = sorted(name for name in wheel.namelist() if ".dist-info/" not in name)

    data = "assetdock_server/data"
    expected = {
        *MODULES,
        "assetdock_server/py.typed",
        f"{data}/supabase/config.toml",
        *(f"{data}/supabase/migrations/{name}" for name in MIGRATIONS),
        *(f"{data}/supabase/functions/upload-url/{name}" for name in FUNCTION),
        *(f"{data}/guides/{name}" for name in GUIDES),
        *(f"{data}/swagger-ui/{name}" for name in ("LICENSE", "swagger-ui-bundle.js", "swagger-ui.css")),
    }
    page = {name.removeprefix(f"{data}/page/") for name in names if name.startswith(f"{data}/page/")}
    assert page == {
        str(path.relative_to(PROJECT / "service/web/dist"))
        for path in (PROJECT / "service/web/dist").rglob("*")
        if path.is_file()
    }
    assert {name for name in names if not name.startswith(f"{data}/page/")} == expected


def test_the_sdist_contains_the_sources_and_no_tests(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    assert {"pyproject.toml", "hatch_build.py", "LICENSE", "README.md", "CHANGELOG.md", "PKG-INFO"} <= names
    assert {f"service/{name}" for name in MODULES} <= names
    assert {f"supabase/migrations/{name}" for name in MIGRATIONS} <= names
    assert "service/web/dist/index.html" in names
    assert "service/web/src/main.ts" in names
    assert not [name for name in names if name.split("/")[0] in ("tests", "devstack", "bench", ".github", "scripts")]


def test_the_wheel_is_typed_and_names_its_dependencies(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        [metadata] = [name for name in wheel.namelist() if name.endswith("METADATA")]
        text = wheel.read(metadata).decode()
    declared = {re.split(r"[\[;<>=~! ]", line.split(": ")[1])[0].lower() for line in text.splitlines()
                if line.startswith("Requires-Dist:") and "extra ==" not in line}  # fmt: skip
    imported: set[str] = set()
    for module in (PROJECT / "service/assetdock_server").rglob("*.py"):
        imported |= set(re.findall(r"^\s*(?:from|import) (\w+)", module.read_text(), re.M))

    distributions_of = importlib.metadata.packages_distributions()
    used = {name.lower().replace("_", "-") for each in imported for name in distributions_of.get(each, [])} - {
        "assetdock-server"
    }
    assert used - declared - {"annotated_types", "annotated-types", "typing-extensions"} == set(), (
        "imported, but not declared"
    )
    assert "Requires-Python: >=3.11" in text


def test_the_command_prints_its_version_and_examples(installed: Installed) -> None:
    assert (
        installed.run("--version").stdout
        == f"assetdock-server, version {importlib.metadata.version('assetdock-server')}\n"
    )
    assert "install" in installed.run("--help").stdout
    for command in ("serve", "worker", "install", "reconcile", "mint-worker-token"):
        printed = installed.run(command, "--help")
        assert printed.returncode == 0, printed.stderr
        assert "Example: " in printed.stdout


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("worker", "--concurrency", "0"), ("mint-worker-token", "--days", "x")]
)
def test_a_wrong_argument_is_named_in_one_line(installed: Installed, arguments: tuple[str, ...]) -> None:
    printed = installed.run(*arguments)

    assert printed.returncode == 2
    assert "Error: " in printed.stderr
    assert "Traceback" not in printed.stderr


def test_the_installed_package_serves_uploads_and_probes(
    installed: Installed,
    stack: Stack,
    service_environment: Mapping[str, str],
    wav: bytes,
) -> None:
    """The page, the documents, a whole upload, and an accepted worker token come from the wheel alone."""
    token = installed.run("mint-worker-token", "--days", "1", **service_environment).stdout.strip()
    shared = {name: value for name, value in service_environment.items() if name != "SUPABASE_SIGNING_KEY"}
    command = installed.command()
    service = Service(service_environment, Ports.free().gateway, command=command)
    worker = WorkerProcess({**shared, "SUPABASE_WORKER_TOKEN": token}, command=command)
    try:
        project = Project(stack.supabase_url, stack.publishable_key, stack.secret_key, service.url)
        caller = session_caller(project)
        asset = caller.wait_until_finished(caller.land(wav))
        page, reference, guide = (
            httpx.get(f"{service.url}{path}") for path in ("/", "/docs/assets/swagger-ui.css", "/docs/quickstart.md")
        )
    finally:
        worker.stop()
        service.stop()
    assert asset["state"] == "ready"
    assert [response.status_code for response in (page, reference, guide)] == [200, 200, 200]


def test_install_from_the_wheel_gives_a_project_the_files_of_this_version(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "supabase").mkdir()
    (tmp_path / "supabase/config.toml").write_text('project_id = "x"\n')

    printed = installed.run("install", "--project", tmp_path, "--yes")

    assert printed.returncode == 0, printed.stderr
    copied = sorted(path.name.split("_assetdock_")[1] for path in (tmp_path / "supabase/migrations").iterdir())
    assert copied == sorted(name.partition("_")[2] for name in MIGRATIONS)
