"""Storage's transactions: each runs as the caller, with the settings that policies and triggers can read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool
from starlette.requests import Request

from devstack.storage.caller import Caller
from devstack.storage.errors import from_database

Connection = AsyncConnection[DictRow]
STATEMENT_TIMEOUT = "30s"

_SETTINGS = """
select
  set_config('role', %(role)s, true),
  set_config('request.jwt.claim.role', %(role)s, true),
  set_config('request.jwt', %(jwt)s, true),
  set_config('request.jwt.claim.sub', %(sub)s, true),
  set_config('request.jwt.claims', %(claims)s, true),
  set_config('request.headers', %(headers)s, true),
  set_config('request.method', %(method)s, true),
  set_config('request.path', %(path)s, true),
  set_config('storage.operation', %(operation)s, true),
  set_config('storage.allow_delete_query', 'true', true),
  set_config('statement_timeout', %(timeout)s, true)
"""


@dataclass(frozen=True)
class Operation:
    """The values of the settings `request.*` and `storage.operation`."""

    operation: str
    method: str
    path: str
    headers: str

    @classmethod
    def of(cls, request: Request, operation: str) -> "Operation":
        headers = orjson.dumps(dict(request.headers)).decode()
        return cls(f"storage.{operation}", request.method, request.url.path, headers)


class Database:
    """Connects as `supabase_storage_admin`, which owns the tables and can assume every API role."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self.pool = pool

    @asynccontextmanager
    async def transaction(
        self, caller: Caller, operation: Operation, *, rolled_back: bool = False
    ) -> AsyncIterator[Connection]:
        """A transaction as the caller. ``rolled_back``: a permission check, always rolled back.

        Raises StorageError for database errors.
        """
        settings = {
            "role": caller.role,
            "jwt": caller.jwt,
            "sub": caller.sub or "",
            "claims": orjson.dumps(caller.claims).decode(),
            "headers": operation.headers,
            "method": operation.method,
            "path": operation.path,
            "operation": operation.operation,
            "timeout": STATEMENT_TIMEOUT,
        }
        try:
            async with (
                self.pool.connection() as connection,
                connection.transaction(force_rollback=rolled_back),
            ):
                await connection.execute(_SETTINGS, settings)
                yield connection
        except psycopg.Error as error:
            raise from_database(error) from error
