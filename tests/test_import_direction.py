"""The packages of the service import each other in one direction only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "service"
PACKAGE = "assetdock_server"
# From the outermost layer to the innermost. A module imports its own layer and those to the right.
LAYERS = (("app",), ("documents",), ("routes",), ("identity", "gateways"), ("errors", "config"))
SIGNING = f"{PACKAGE}.identity.signing"  # config.py reads the signing key with it; it imports no other module of ours
FORBIDDEN = {
    "media": ("documents", "gateways", "identity", "routes", "webhooks", "worker"),
    "webhooks": ("app", "documents", "gateways.database", "identity", "media", "routes", "worker"),
}


def imports(source: str, package: str = "") -> Iterator[str]:
    """The modules that `source`, a module of `package`, imports. `from a import b` gives `a` and `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def violations(source: str, path: Path, forbidden: tuple[str, ...]) -> list[str]:
    package = ".".join(path.relative_to(SOURCES).parent.parts)
    found = set(imports(source, package))
    if path.stem == "config":
        found = {module for module in found if not within(module, SIGNING)}
    return [f"{path}: {module}" for module in sorted(found) if any(within(module, name) for name in forbidden)]


def modules(part: str = "") -> list[Path]:
    root = SOURCES / PACKAGE / part
    found = [root.with_suffix(".py")] if part and not root.is_dir() else sorted(root.rglob("*.py"))
    assert found
    assert all(path.is_file() for path in found)
    return found


def check(part: str, forbidden: tuple[str, ...]) -> None:
    assert [line for path in modules(part) for line in violations(path.read_text(), path, forbidden)] == []


@pytest.mark.parametrize("part", FORBIDDEN)
def test_media_and_webhooks_import_no_queue_and_no_database(part: str) -> None:
    check(part, tuple(f"{PACKAGE}.{name}" for name in FORBIDDEN[part]))


def test_media_imports_no_other_part_of_the_package() -> None:
    for path in modules("media"):
        package = ".".join(path.relative_to(SOURCES).parent.parts)
        own = {name for name in imports(path.read_text(), package) if within(name, PACKAGE)}
        assert [name for name in own if not within(name, f"{PACKAGE}.media")] == [], path


def test_production_code_imports_no_development_code() -> None:
    check("", ("devstack", "tests", "bench", "scripts"))


@pytest.mark.parametrize("number", range(1, len(LAYERS)))
def test_no_layer_imports_an_outer_layer(number: int) -> None:
    outer = tuple(f"{PACKAGE}.{name}" for layer in LAYERS[:number] for name in layer)

    for part in LAYERS[number]:
        check(part, outer)


@pytest.mark.parametrize(
    "source",
    [
        "import assetdock_server.worker.queue",
        "from assetdock_server.worker import queue",
        "from assetdock_server import worker",
        "from ..worker import queue",
        "from .. import worker",
        "def later():\n    from assetdock_server.worker.queue import Job",
    ],
)
def test_finds_every_form_of_a_forbidden_import(source: str) -> None:
    assert violations(source, SOURCES / PACKAGE / "media" / "example.py", ("assetdock_server.worker",))


def test_the_signing_module_imports_no_other_module_of_ours() -> None:
    source = (SOURCES / PACKAGE / "identity" / "signing.py").read_text()

    assert not [module for module in imports(source) if within(module, PACKAGE)]


def test_accepts_a_module_whose_name_only_starts_like_a_forbidden_one() -> None:
    path = SOURCES / PACKAGE / "example.py"

    assert not violations("import assetdock_server.workers", path, ("assetdock_server.worker",))
