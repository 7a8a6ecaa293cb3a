"""Downloads, object info and listings: by a signed URL, as the user, or from a public bucket."""

from starlette.requests import Request
from starlette.responses import Response

from devstack.storage import downloads, rows
from devstack.storage.backend import Backend
from devstack.storage.caller import Caller
from devstack.storage.database import Operation
from devstack.storage.errors import invalid_request, no_such_bucket, no_such_key
from devstack.storage.json_bodies import json_body, json_response, required_property
from devstack.storage.names import require_key
from devstack.storage.rows import Row

_SORTABLE = ("name", "updated_at", "created_at", "last_accessed_at")
_LIST = """
with here as (
  select *, path_tokens[%(level)s] as part, cardinality(path_tokens) > %(level)s as deeper
  from storage.objects
  where bucket_id = %(bucket)s and starts_with(name, %(prefix)s)
)
select part as name, null::uuid as id, null::timestamptz as updated_at, null::timestamptz as created_at,
  null::timestamptz as last_accessed_at, null::jsonb as metadata
from here where deeper and part ilike %(search)s group by part
union all
select part, id, updated_at, created_at, last_accessed_at, metadata
from here where not deeper and part ilike %(search)s
"""


class DownloadRoutes:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def sign(self, request: Request) -> Response:
        caller, name = self.backend.caller(request), require_key(request.path_params["name"])
        seconds = _seconds(await json_body(request))
        row = await self._visible(request, caller, "object.sign", name)
        return json_response({"signedURL": self._signed_url(row["bucket_id"], name, seconds)})

    async def sign_many(self, request: Request) -> Response:
        """Responds with one entry for each path, in order: a URL, or an error for an object the caller cannot see."""
        caller, body = self.backend.caller(request), await json_body(request)
        bucket_id = request.path_params["bucket"]
        seconds, paths = _seconds(body), [str(path) for path in required_property(body, "paths", list)]
        async with self.backend.transaction(request, caller, "object.sign_many") as connection:
            cursor = await connection.execute(
                "select name from storage.objects where bucket_id = %s and name = any (%s)",
                [bucket_id, paths],
            )
            visible = {row["name"] for row in await cursor.fetchall()}
        missing = "Either the object does not exist or you do not have access to it"
        return json_response(
            [
                {
                    "error": None if path in visible else missing,
                    "path": path,
                    "signedURL": self._signed_url(bucket_id, path, seconds) if path in visible else None,
                }
                for path in paths
            ]
        )

    async def signed(self, request: Request) -> Response:
        """GET and HEAD /object/sign. The token alone gives access, even if the policies have changed."""
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        claims = self.backend.signed_urls.verify(request.query_params.get("token"), f"{bucket_id}/{name}", "download")
        row = await self._visible(request, self.backend.service(), "object.get_signed", name)
        return downloads.serve(request, self.backend.files, row, expires=int(claims["exp"]))

    async def authenticated(self, request: Request) -> Response:
        row = await self._visible(
            request, self.backend.caller(request), "object.get_authenticated", request.path_params["name"]
        )
        return downloads.serve(request, self.backend.files, row)

    async def public(self, request: Request) -> Response:
        operation = Operation.of(request, "object.get_public")
        bucket = await self.backend.uploads.bucket(request.path_params["bucket"], operation)
        if not bucket["public"]:
            raise no_such_bucket()
        row = await self._visible(request, self.backend.service(), "object.get_public", request.path_params["name"])
        return downloads.serve(request, self.backend.files, row)

    async def info(self, request: Request) -> Response:
        row = await self._visible(
            request, self.backend.caller(request), "object.get_authenticated_info", request.path_params["name"]
        )
        return json_response(downloads.info(row))

    async def list(self, request: Request) -> Response:
        """Lists one level of names below a prefix. A deeper level is listed as a folder, with nulls."""
        caller, body = self.backend.caller(request), await json_body(request)
        prefix = str(body.get("prefix") or "")
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        sort = body.get("sortBy") or {}
        column, order = sort.get("column") or "name", sort.get("order") or "asc"
        if column not in _SORTABLE or order not in ("asc", "desc"):
            raise invalid_request("body/sortBy must name a column and asc or desc")
        async with self.backend.transaction(request, caller, "object.list") as connection:
            cursor = await connection.execute(
                f"{_LIST} order by {column} {order}, name limit %(limit)s offset %(offset)s".encode(),
                {
                    "bucket": request.path_params["bucket"],
                    "prefix": prefix,
                    "level": prefix.count("/") + 1,
                    "search": f"%{body.get('search') or ''}%",
                    "limit": min(int(body.get("limit") or 100), 1000),
                    "offset": int(body.get("offset") or 0),
                },
            )
            return json_response(await cursor.fetchall())

    async def list_v2(self, request: Request) -> Response:
        """Lists the objects whose names have a prefix, in pages without folders (`with_delimiter` is not supported)."""
        caller, body = self.backend.caller(request), await json_body(request)
        limit = min(int(body.get("limit") or 1000), 1000)
        async with self.backend.transaction(request, caller, "object.list_v2") as connection:
            prefix, after = str(body.get("prefix") or ""), str(body.get("cursor") or "")
            cursor = await connection.execute(
                "select name, id, updated_at, created_at, metadata from storage.objects where bucket_id = %s"
                " and starts_with(name, %s) and name > %s order by name limit %s",
                [request.path_params["bucket"], prefix, after, limit + 1],
            )
            found = await cursor.fetchall()
        page = {"hasNext": len(found) > limit, "folders": [], "objects": found[:limit]}
        return json_response(page | ({"nextCursor": found[limit - 1]["name"]} if page["hasNext"] else {}))

    async def _visible(self, request: Request, caller: Caller, operation: str, name: str) -> Row:
        """The object, if the caller can see it. Raises StorageError (404) otherwise."""
        async with self.backend.transaction(request, caller, operation) as connection:
            row = await rows.find(connection, request.path_params["bucket"], name)
        if row is None:
            raise no_such_key()
        return row

    def _signed_url(self, bucket_id: str, name: str, seconds: int) -> str:
        path = f"{bucket_id}/{name}"
        return f"/object/sign/{path}?token={self.backend.signed_urls.download_token(path, seconds)}"


def _seconds(body: dict[str, object]) -> int:
    """``expiresIn``. Text is accepted, as on the real Storage: the Python client sends text."""
    value = body.get("expiresIn")
    if value is None:
        raise invalid_request("body must have required property 'expiresIn'")
    text = str(value)
    if not text.isascii() or not text.isdecimal() or isinstance(value, bool):
        raise invalid_request("body/expiresIn must be integer")
    if int(text) < 1:
        raise invalid_request("body/expiresIn must be >= 1")
    return int(text)
