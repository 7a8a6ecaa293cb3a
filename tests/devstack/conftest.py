"""Stacks with an empty project."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from devstack.binaries import PROJECT
from devstack.ports import Ports
from devstack.project import Project
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory

Up = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A shared stack. Every test must leave it running."""
    with (
        temporary_state_directory() as directory,
        Stack(directory, Ports.free(), project=Project()) as stack,
    ):
        yield stack


@pytest.fixture(scope="session")
def legacy_stack() -> Iterator[Stack]:
    """A project from before 30 October 2026 with an HS256 secret. Its upload URLs expire after a second."""
    with (
        temporary_state_directory() as directory,
        Stack(
            directory,
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
    """The state directory of a stack that the test starts."""
    with temporary_state_directory() as directory:
        yield directory / "state"


@pytest.fixture
def ports() -> Ports:
    return Ports.free()


@pytest.fixture
def port_options(ports: Ports) -> list[str]:
    return [f"--{name.replace('_', '-')}-port={port}" for name, port in asdict(ports).items()]


@pytest.fixture
def up(state: Path, port_options: list[str]) -> Iterator[Up]:
    """``up(*options)`` starts the command in the background and stops it after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, program: tuple[str, ...] = ("-m", "devstack")) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *program, "up", "--state", str(state), *port_options, *options],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=240)
