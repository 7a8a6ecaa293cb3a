"""What a refusal by Storage means depends on what was asked of it."""

import pytest
from storage3.exceptions import StorageApiError

from assetdock_server.gateways.storage import translated


@pytest.mark.parametrize(
    ("operation", "status", "message", "code"),
    [
        ("sign_upload", "403", "This asset already has its bytes", "conflict"),
        ("sign_upload", "409", "The resource already exists", "conflict"),
        ("sign_upload", "403", '"exp" claim timestamp check failed', "unauthenticated"),
        ("sign_download", "403", '"exp" claim timestamp check failed', "unauthenticated"),
        # Nothing about a download can be in the caller's way but its policy, and that hides (404).
        ("sign_download", "403", "permission denied", "upstream_error"),
        ("sign_download", "409", "The resource already exists", "upstream_error"),
        ("remove", "403", "permission denied", "upstream_error"),
        ("sign_download", "404", "Object not found", "not_found"),
        ("sign_download", "500", "Internal", "upstream_unavailable"),
        ("sign_upload", "544", "The connection to the database timed out", "upstream_timeout"),
    ],
)
def test_a_refusal_is_told_by_what_was_asked(operation: str, status: str, message: str, code: str) -> None:
    assert translated(StorageApiError(message, "AccessDenied", status), operation).code == code
