"""Storage's error responses: the HTTP status is nearly always 400, the real status is a string in the body."""

from dataclasses import dataclass

import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

RLS_MESSAGE = "new row violates row-level security policy"


@dataclass
class StorageError(Exception):
    """``status`` is the status in the body; ``http`` is that of the response."""

    status: int
    error: str
    code: str
    message: str
    http: int = 400

    def body(self) -> dict[str, str]:
        return {
            "statusCode": str(self.status),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        }


def access_denied(message: str) -> StorageError:
    return StorageError(403, "Unauthorized", "AccessDenied", message)


def invalid_role() -> StorageError:
    return StorageError(403, "Unauthorized", "AccessDenied", "Access denied: Invalid role", http=403)


def no_such_bucket() -> StorageError:
    return StorageError(404, "Bucket not found", "NoSuchBucket", "Bucket not found")


def no_such_key() -> StorageError:
    return StorageError(404, "not_found", "NoSuchKey", "Object not found")


def key_already_exists() -> StorageError:
    return StorageError(409, "Duplicate", "KeyAlreadyExists", "The resource already exists")


def bucket_already_exists() -> StorageError:
    return StorageError(409, "Duplicate", "BucketAlreadyExists", "The resource already exists")


def bucket_not_empty() -> StorageError:
    return StorageError(409, "ResourceNotEmpty", "ResourceNotEmpty", "The bucket you tried to delete is not empty")


def entity_too_large() -> StorageError:
    return StorageError(413, "Payload too large", "EntityTooLarge", "The object exceeded the maximum allowed size")


def invalid_mime_type(mime_type: str) -> StorageError:
    return StorageError(415, "invalid_mime_type", "InvalidMimeType", f"mime type {mime_type} is not supported")


def invalid_jwt(message: str) -> StorageError:
    return StorageError(400, "InvalidJWT", "InvalidJWT", message)


def invalid_signature(message: str) -> StorageError:
    return StorageError(400, "InvalidSignature", "InvalidSignature", message)


def invalid_key(key: str) -> StorageError:
    return StorageError(400, "InvalidKey", "InvalidKey", f"Invalid key: {key}")


def invalid_bucket_name() -> StorageError:
    return StorageError(400, "Invalid Input", "InvalidBucketName", "Bucket name invalid")


def invalid_request(message: str) -> StorageError:
    return StorageError(400, "Error", "InvalidRequest", message)


def invalid_range() -> StorageError:
    return StorageError(416, "invalid_range", "InvalidRange", "invalid range provided", http=416)


def internal(message: str) -> StorageError:
    return StorageError(500, "Internal", "InternalError", message, http=500)


def from_database(error: psycopg.Error) -> StorageError:
    """SQLSTATE 42501 passes a trigger's message to the client; other SQLSTATEs that a trigger raises become 500."""
    match error.sqlstate:
        case "42501":
            message = error.diag.message_primary or ""
            return access_denied(RLS_MESSAGE if "row-level security" in message else message)
        case "23505":
            return StorageError(409, "Duplicate", "ResourceAlreadyExists", "The resource already exists")
        case "23503":
            return StorageError(404, "InvalidRequest", "InvalidRequest", "The related resource does not exist")
        case "55P03":
            return StorageError(423, "ResourceLocked", "ResourceLocked", "The resource is locked")
        case "57014":
            return StorageError(
                544,
                "DatabaseTimeout",
                "DatabaseTimeout",
                "The connection to the database timed out",
                http=544,
            )
        case "22P02":
            return StorageError(
                400, "InvalidParameter", "InvalidParameter", error.diag.message_primary or "Invalid value"
            )
    return StorageError(500, "DatabaseError", "DatabaseError", f"database error, code: {error.sqlstate}", http=500)


def respond(_: Request, error: Exception) -> Response:
    if not isinstance(error, StorageError):
        raise error
    return JSONResponse(error.body(), error.http)
