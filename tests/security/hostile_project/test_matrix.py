"""The isolation matrix in a project that granted every function to every role: our functions refuse by themselves."""

import pytest

from tests.security.test_matrix import (  # noqa: F401 - the tests and their fixtures
    catalogue,
    test_every_caller_gets_exactly_the_expected_response_from_every_function,
    world,
)


@pytest.fixture(scope="module")
def refusals() -> set[tuple[int, str | None]]:
    return {(401, "unauthenticated"), (403, "forbidden")}
