"""The meaning of a Storage error depends on the operation."""

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
        # A policy hides a download (404), so any other rejection is unexpected.
        ("sign_download", "403", "permission denied", "upstream_error"),
        ("sign_download", "409", "The resource already exists", "upstream_error"),
        ("remove", "403", "permission denied", "upstream_error"),
        ("sign_download", "404", "Object not found", "not_found"),
        ("sign_download", "500", "Internal", "upstream_unavailable"),
        ("sign_upload", "544", "The connection to the database timed out", "upstream_timeout"),
    ],
)
def test_translates_each_storage_error_by_operation(operation: str, status: str, message: str, code: str) -> None:
    assert translated(StorageApiError(message, "AccessDenied", status), operation).code == code
