"""Stacks of our own, with no project in them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.ports import Ports
from devstack.project import Project
from devstack.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Shared: a test leaves it running, whatever it did to it."""
    with (
        tempfile.TemporaryDirectory(prefix="assetdock-devstack-") as directory,
        Stack(Path(directory), Ports.free(), project=Project()) as stack,
    ):
        yield stack


@pytest.fixture(scope="session")
def legacy_stack() -> Iterator[Stack]:
    """A project from before 30 October 2026, with a shared HS256 secret; its upload URLs live for a
    second.
    """
    with (
        tempfile.TemporaryDirectory(prefix="assetdock-devstack-") as directory,
        Stack(
            Path(directory),
            Ports.free(),
            default_grants="legacy",
            jwt_secret="a-secret-of-at-least-thirty-two-characters",
            project=Project(),
            upload_url_seconds=1,
        ) as stack,
    ):
        yield stack


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory for a stack that the test starts itself, open to the user that Postgres runs as under
    root.
    """
    with tempfile.TemporaryDirectory(prefix="assetdock-devstack-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "state"
