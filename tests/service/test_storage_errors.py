"""The meaning of a Storage error depends on the operation."""

import orjson
import pytest

from assetdock_server.gateways.storage import translated


@pytest.mark.parametrize(
    ("operation", "status", "message", "code"),
    [
        ("sign_upload", "403", "This asset already has its bytes", "conflict"),
        ("sign_upload", "409", "The resource already exists", "conflict"),
        # A refused token is RefusedTokenError: whose token it is decides what the caller gets.
        ("sign_upload", "403", '"exp" claim timestamp check failed', "upstream_unavailable"),
        ("sign_download", "403", "signature verification failed", "upstream_unavailable"),
        # A policy hides a download (404), so any other rejection is unexpected.
        ("sign_download", "403", "permission denied", "upstream_error"),
        ("sign_download", "409", "The resource already exists", "upstream_error"),
        ("remove", "403", "permission denied", "upstream_error"),
        ("sign_download", "404", "Object not found", "not_found"),
        ("sign_download", "500", "Internal", "upstream_unavailable"),
        ("sign_upload", "429", "Too many connections issued to the database", "upstream_unavailable"),
        ("sign_upload", "none", "no status", "upstream_error"),
        ("sign_upload", "9" * 5000, "no status", "upstream_error"),
        ("sign_upload", "544", "The connection to the database timed out", "upstream_timeout"),
    ],
)
def test_translates_each_storage_error_by_operation(operation: str, status: str, message: str, code: str) -> None:
    body = orjson.dumps({"statusCode": status, "error": "AccessDenied", "message": message})

    assert translated(500 if status == "500" else 400, body, operation).code == code
