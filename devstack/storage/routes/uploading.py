"""Bytes in: by a signed URL, or as the user."""

from starlette.requests import Request
from starlette.responses import Response

from devstack.storage.answers import drained, json_answer
from devstack.storage.database import Occasion
from devstack.storage.desk import Desk
from devstack.storage.errors import StorageError
from devstack.storage.names import require_key
from devstack.storage.uploads import Target


class Uploading:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def sign(self, request: Request) -> Response:
        """POST /object/upload/sign: a token for one name. The body, and any `expiresIn` in it, is ignored."""
        caller, bucket_id, name = self.desk.caller(request), *_place(request)
        occasion = Occasion.of(request, "object.sign_upload_url")
        upsert = request.headers.get("x-upsert") == "true"
        metadata: dict[str, object] = {}
        if content_type := request.headers.get("content-type"):
            metadata["mimetype"] = content_type
        if length := request.headers.get("content-length"):
            metadata["contentLength"] = int(length)
        await self.desk.uploads.ask(caller, occasion, Target(bucket_id, name, caller.sub, upsert), metadata)
        path = f"{bucket_id}/{name}"
        token = self.desk.signed_urls.upload_token(path, caller.sub, upsert=upsert)
        return json_answer({"url": f"/object/upload/sign/{path}?token={token}", "token": token})

    async def signed(self, request: Request) -> Response:
        """PUT /object/upload/sign: the token is the permission; policies were asked when it was made."""
        try:
            bucket_id, name = _place(request)
            claims = self.desk.signed_urls.verify(request.query_params.get("token"), f"{bucket_id}/{name}", "upload")
            target = Target(bucket_id, name, claims.get("owner"), bool(claims.get("upsert")))
            await self.desk.uploads.receive(
                request, self.desk.service(), Occasion.of(request, "object.upload_signed"), target
            )
        except StorageError as error:
            raise await drained(request, error) from error
        return json_answer({"Key": f"{bucket_id}/{name}"})

    async def create(self, request: Request) -> Response:
        """POST /object/{bucket}/{name}, as the user."""
        upsert = request.headers.get("x-upsert") == "true"
        return await self._as_user(request, "object.upload", upsert=upsert)

    async def replace(self, request: Request) -> Response:
        """PUT /object/{bucket}/{name}, as the user."""
        return await self._as_user(request, "object.upload_update", upsert=True)

    async def _as_user(self, request: Request, operation: str, *, upsert: bool) -> Response:
        try:
            caller, bucket_id, name = self.desk.caller(request), *_place(request)
            target = Target(bucket_id, name, caller.sub, upsert)
            row = await self.desk.uploads.receive(request, caller, Occasion.of(request, operation), target)
        except StorageError as error:
            raise await drained(request, error) from error
        return json_answer({"Id": row["id"], "Key": f"{bucket_id}/{name}"})


def _place(request: Request) -> tuple[str, str]:
    return request.path_params["bucket"], require_key(request.path_params["name"])
