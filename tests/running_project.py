"""The option --running-project: tests use a Supabase project that runs already, instead of a new local stack.

    SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY
    DB_URL                  of the role `postgres`; its password must also be that of `supabase_admin`
    SUPABASE_SIGNING_KEY    the private JWK that the project trusts, or
    SUPABASE_JWT_SECRET     its HS256 secret

`make conformance` sets them from `supabase status`. A test that needs a process or a file of the local stack is
skipped by name, with the reason. At the end, the users that the tests created are deleted, the worker purges what they
owned, and nothing may be left.
"""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

OPTION = "--running-project"
REASON = "needs a local stack of its own"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="test the project of SUPABASE_URL, see tests/running_project.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips the tests that are marked with `local_stack`."""
    if config.getoption(OPTION):
        for item in items:
            if item.get_closest_marker("local_stack"):
                item.add_marker(pytest.mark.skip(reason=REASON))


@dataclass(frozen=True)
class RunningProject:
    """What tests use of a stack. Any other attribute of the local stack skips the test that asks for it."""

    supabase_url: str
    publishable_key: str
    secret_key: str
    postgres_db_url: str
    signing_key: str | None
    jwt_secret: str | None

    @classmethod
    def from_environment(cls) -> "RunningProject":
        """Fails the run if a variable is missing."""
        required = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY", "DB_URL")
        missing = [name for name in required if not os.environ.get(name)]
        keys = [os.environ.get(name) for name in ("SUPABASE_SIGNING_KEY", "SUPABASE_JWT_SECRET")]
        if not any(keys):
            missing.append("SUPABASE_SIGNING_KEY or SUPABASE_JWT_SECRET")
        if missing:
            pytest.exit(f"{OPTION} needs {', '.join(missing)}: see tests/running_project.py", returncode=2)
        url, *rest = (os.environ[name] for name in required)
        return cls(url.rstrip("/"), *rest, *keys)

    @property
    def db_url(self) -> str:
        """As superuser, for state that no caller can access."""
        parts = urlsplit(self.postgres_db_url)
        return parts._replace(netloc=f"supabase_admin:{parts.password}@{parts.hostname}:{parts.port}").geturl()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.skip(f"needs {name} of a local stack")
