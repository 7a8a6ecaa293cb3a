"""Bytes and facts out: by a signed URL, as the user, or from a public bucket."""

from starlette.requests import Request
from starlette.responses import Response

from devstack.storage import downloads, rows
from devstack.storage.answers import body_of, json_answer, required
from devstack.storage.caller import Caller
from devstack.storage.database import Occasion
from devstack.storage.desk import Desk
from devstack.storage.errors import invalid_request, no_such_bucket, no_such_key
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


class Reading:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def sign(self, request: Request) -> Response:
        caller, name = self.desk.caller(request), require_key(request.path_params["name"])
        seconds = _seconds(await body_of(request))
        row = await self._visible(request, caller, "object.sign", name)
        return json_answer({"signedURL": self._signed_url(row["bucket_id"], name, seconds)})

    async def sign_many(self, request: Request) -> Response:
        """Answers for every path, in order; what the caller cannot see has an error in the place of a URL."""
        caller, body, bucket_id = (
            self.desk.caller(request),
            await body_of(request),
            request.path_params["bucket"],
        )
        seconds, paths = _seconds(body), [str(path) for path in required(body, "paths", list)]
        async with self.desk.database.transaction(caller, Occasion.of(request, "object.sign_many")) as connection:
            cursor = await connection.execute(
                "select name from storage.objects where bucket_id = %s and name = any (%s)",
                [bucket_id, paths],
            )
            seen = {row["name"] for row in await cursor.fetchall()}
        missing = "Either the object does not exist or you do not have access to it"
        return json_answer(
            [
                {
                    "error": None if path in seen else missing,
                    "path": path,
                    "signedURL": self._signed_url(bucket_id, path, seconds) if path in seen else None,
                }
                for path in paths
            ]
        )

    async def signed(self, request: Request) -> Response:
        """GET and HEAD /object/sign: the token is the permission, whatever the policies say by now."""
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        claims = self.desk.signed_urls.verify(request.query_params.get("token"), f"{bucket_id}/{name}", "download")
        row = await self._visible(request, self.desk.service(), "object.get_signed", name)
        return downloads.serve(request, self.desk.files, row, expires=int(claims["exp"]))

    async def authenticated(self, request: Request) -> Response:
        row = await self._visible(
            request, self.desk.caller(request), "object.get_authenticated", request.path_params["name"]
        )
        return downloads.serve(request, self.desk.files, row)

    async def public(self, request: Request) -> Response:
        occasion = Occasion.of(request, "object.get_public")
        bucket = await self.desk.uploads.bucket(request.path_params["bucket"], occasion)
        if not bucket["public"]:
            raise no_such_bucket()
        row = await self._visible(request, self.desk.service(), "object.get_public", request.path_params["name"])
        return downloads.serve(request, self.desk.files, row)

    async def info(self, request: Request) -> Response:
        row = await self._visible(
            request, self.desk.caller(request), "object.get_authenticated_info", request.path_params["name"]
        )
        return json_answer(downloads.info(row))

    async def list(self, request: Request) -> Response:
        """One level of names below a prefix; a deeper level shows as a folder, with nulls."""
        caller, body = self.desk.caller(request), await body_of(request)
        prefix = str(body.get("prefix") or "")
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        sort = body.get("sortBy") or {}
        column, order = sort.get("column") or "name", sort.get("order") or "asc"
        if column not in _SORTABLE or order not in ("asc", "desc"):
            raise invalid_request("body/sortBy must name a column and asc or desc")
        async with self.desk.database.transaction(caller, Occasion.of(request, "object.list")) as connection:
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
            return json_answer(await cursor.fetchall())

    async def _visible(self, request: Request, caller: Caller, operation: str, name: str) -> Row:
        """The object, if the caller may see it. Raises StorageError (404) otherwise."""
        async with self.desk.database.transaction(caller, Occasion.of(request, operation)) as connection:
            row = await rows.find(connection, request.path_params["bucket"], name)
        if row is None:
            raise no_such_key()
        return row

    def _signed_url(self, bucket_id: str, name: str, seconds: int) -> str:
        path = f"{bucket_id}/{name}"
        return f"/object/sign/{path}?token={self.desk.signed_urls.download_token(path, seconds)}"


def _seconds(body: dict[str, object]) -> int:
    """``expiresIn``, which the Python client sends as text, and the real Storage takes so."""
    given = body.get("expiresIn")
    if given is None:
        raise invalid_request("body must have required property 'expiresIn'")
    text = str(given)
    if not text.isascii() or not text.isdecimal() or isinstance(given, bool):
        raise invalid_request("body/expiresIn must be integer")
    if int(text) < 1:
        raise invalid_request("body/expiresIn must be >= 1")
    return int(text)
