"""Uploads in one request: by a signed URL, or as the user."""

from starlette.requests import Request
from starlette.responses import Response

from devstack.storage.backend import Backend
from devstack.storage.database import Operation
from devstack.storage.errors import StorageError
from devstack.storage.json_bodies import drained, json_response
from devstack.storage.names import require_key
from devstack.storage.uploads import Target


class UploadRoutes:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def sign(self, request: Request) -> Response:
        """POST /object/upload/sign: a token for one name. The body is ignored, including `expiresIn`."""
        caller, bucket_id, name = self.backend.caller(request), *_bucket_and_name(request)
        operation = Operation.of(request, "object.sign_upload_url")
        upsert = request.headers.get("x-upsert") == "true"
        metadata: dict[str, object] = {}
        if content_type := request.headers.get("content-type"):
            metadata["mimetype"] = content_type
        if length := request.headers.get("content-length"):
            metadata["contentLength"] = int(length)
        await self.backend.uploads.check_permission(
            caller, operation, Target(bucket_id, name, caller.sub, upsert), metadata
        )
        path = f"{bucket_id}/{name}"
        token = self.backend.signed_urls.upload_token(path, caller.sub, upsert=upsert)
        return json_response({"url": f"/object/upload/sign/{path}?token={token}", "token": token})

    async def signed(self, request: Request) -> Response:
        """PUT /object/upload/sign. The token alone gives access; policies were checked when it was signed."""
        try:
            bucket_id, name = _bucket_and_name(request)
            claims = self.backend.signed_urls.verify(request.query_params.get("token"), f"{bucket_id}/{name}", "upload")
            target = Target(bucket_id, name, claims.get("owner"), bool(claims.get("upsert")))
            await self.backend.uploads.receive(
                request, self.backend.service(), Operation.of(request, "object.upload_signed"), target
            )
        except StorageError as error:
            raise await drained(request, error) from error
        return json_response({"Key": f"{bucket_id}/{name}"})

    async def create(self, request: Request) -> Response:
        """POST /object/{bucket}/{name}, as the user."""
        upsert = request.headers.get("x-upsert") == "true"
        return await self._as_user(request, "object.upload", upsert=upsert)

    async def replace(self, request: Request) -> Response:
        """PUT /object/{bucket}/{name}, as the user."""
        return await self._as_user(request, "object.upload_update", upsert=True)

    async def _as_user(self, request: Request, operation: str, *, upsert: bool) -> Response:
        try:
            caller, bucket_id, name = self.backend.caller(request), *_bucket_and_name(request)
            target = Target(bucket_id, name, caller.sub, upsert)
            row = await self.backend.uploads.receive(request, caller, Operation.of(request, operation), target)
        except StorageError as error:
            raise await drained(request, error) from error
        return json_response({"Id": row["id"], "Key": f"{bucket_id}/{name}"})


def _bucket_and_name(request: Request) -> tuple[str, str]:
    return request.path_params["bucket"], require_key(request.path_params["name"])
