"""The measured statements, each with the role and claims that PostgREST or Storage sets for its caller."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.tables.population import OPEN, WATCHED, Distribution

# The claims of a Supabase Auth session. identify() reads three of them, but parses them all.
SESSION = {
    "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
    "aud": "authenticated",
    "exp": 4102444800,
    "iat": 1767225600,
    "email": "someone@example.com",
    "phone": "",
    "app_metadata": {"provider": "email", "providers": ["email"]},
    "user_metadata": {"email_verified": True},
    "role": "authenticated",
    "aal": "aal1",
    "amr": [{"method": "password", "timestamp": 1767225600}],
    "session_id": "6f1d4d0e-5a0a-4c39-8f2b-0c5d6a9d0001",
    "is_anonymous": False,
}
# The metadata that Storage records for landed bytes; the open reservations match it.
_LANDED = {
    "eTag": '"0cc175b9c0f1b6a831c399e269772661"',
    "size": 400_000,
    "mimetype": "audio/mpeg",
    "cacheControl": "no-cache",
    "lastModified": "2026-11-01T00:00:00.000Z",
    "contentLength": 400_000,
    "httpStatusCode": 200,
}
API_KEY = "by an API key"
NEWCOMER = "first page of a newcomer"


@dataclass(frozen=True)
class Statement:
    """One way of calling `function`. `grows`: its time is proportional to the owner's rows, and it has no goal."""

    function: str
    way: str
    role: str
    sql: str
    grows: bool = False
    # Used to count pages where EXPLAIN would miss some.
    sql_for_pages: str = ""

    @property
    def name(self) -> str:
        return f"{self.function}, {self.way}" if self.way else self.function


@dataclass(frozen=True)
class Scene:
    """The owners, keys and assets that the statements use, at one size."""

    owners: Sequence[str]
    api_keys: Sequence[str]
    cursors: Sequence[str]
    open_assets: Sequence[tuple[str, str]]
    newcomer: str
    keys: int
    # An asset of the first owner that has bytes.
    ready_asset: str

    @classmethod
    def of(cls, connection: psycopg.Connection[Any], distribution: Distribution, keys: int) -> "Scene":
        """Reads the scene from a filled database. Each cursor points to the middle of its owner's assets; the single
        owner's cursors point to different places, because a page may begin anywhere in an index leaf."""
        number = 1 if distribution == "one owner" else WATCHED
        owners = [
            row[0] for row in connection.execute("select bench.owner(n)::text from generate_series(1, %s) n", [number])
        ]
        api_keys = [
            _one(connection, "select min(id::text) from assetdock_app.api_keys where owner_id = %s", each)
            for each in owners
        ]
        cursors = [
            _one(
                connection,
                "select assetdock_private.encode_cursor(owner_id, id) from assetdock_app.assets where owner_id = %s"
                " order by id"
                " offset (select count(*) * (100 + %s) / 200 from assetdock_app.assets where owner_id = %s) limit 1",
                owners[turn % number], turn if number == 1 else 0, owners[turn % number],
            )
            for turn in range(WATCHED)
        ]  # fmt: skip
        open_assets = connection.execute(
            "select id::text, owner_id::text from assetdock_app.assets"
            " where state = 'pending_upload' and upload_expires_at > now() order by id limit %s",
            [OPEN],
        ).fetchall()
        newcomer = _one(connection, "select bench.owner(0)::text")
        ready = _one(
            connection,
            "select min(id::text) from assetdock_app.assets where owner_id = %s and state = 'ready'",
            owners[0],
        )
        return cls(owners, api_keys, cursors, open_assets, newcomer, keys, ready)

    def arguments(self, statement: Statement, turn: int) -> dict[str, Any]:
        """The arguments of one execution, including its caller. Each turn uses another owner, asset and key."""
        place = turn % len(self.owners)
        asset, owner = self.open_assets[turn % len(self.open_assets)]
        claims: dict[str, Any] = {"role": statement.role}
        if statement.role == "authenticated":
            caller = self.newcomer if statement.way == NEWCOMER else self.owners[place]
            claims = {**SESSION, "sub": caller}
            if statement.way == API_KEY:
                claims = {
                    "role": statement.role,
                    "aud": "authenticated",
                    "sub": caller,
                    "api_key_id": self.api_keys[place],
                }
        return {
            "role": statement.role,
            "claims": json.dumps(claims),
            "cursor": self.cursors[turn % len(self.cursors)],
            "asset": asset,
            "owner": owner,
            "object": json.dumps(_LANDED),
            "key_hash": _key_hash(1 + turn % WATCHED),
            "any_key_hash": _key_hash(1 + turn * 7919 % self.keys),
            "ready_asset": self.ready_asset,
        }


ASSUME = """
select set_config('role', %(role)s, true),
  set_config('request.jwt.claims', %(claims)s, true),
  set_config('storage.operation', case %(role)s when 'service_role' then 'storage.object.upload_signed' end, true)
"""

_INSERT = (
    "insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)"
    " values ('assets', {asset}, {owner}::uuid, {owner}, gen_random_uuid()::text, {object}, null)"
)
# EXPLAIN does not count pages that AFTER triggers touch, because they belong to no plan node. Inside a function they
# count.
LANDING_TOOL = f"""
create function bench.land(asset text, owner text, object jsonb) returns void language plpgsql as $$
begin
  {_INSERT.format(asset="asset", owner="land.owner", object="object")};
end
$$
"""


def _list(way: str, arguments: str, *, grows: bool = False) -> Statement:
    return Statement("list", way, "authenticated", f"select assetdock.list_assets({arguments})", grows)


_CREATE = (
    "select assetdock.create_upload("
    "type => 'audio', content_type => 'audio/mpeg', filename => 'a.mp3', size_bytes => 400000)"
)

STATEMENTS = (
    Statement("create_upload", "by a session", "authenticated", _CREATE),
    Statement("create_upload", API_KEY, "authenticated", _CREATE),
    Statement(
        "landing trigger",
        "",
        "service_role",
        _INSERT.format(asset="%(asset)s", owner="%(owner)s", object="%(object)s"),
        sql_for_pages="select bench.land(%(asset)s, %(owner)s, %(object)s)",
    ),
    _list("first page", ""),
    _list(API_KEY, ""),
    _list(NEWCOMER, ""),
    _list("page at a cursor", "cursor => %(cursor)s"),
    _list("state ready", "state => 'ready'"),
    _list("state failed", "state => 'failed'"),
    _list("state ready at a cursor", "state => 'ready', cursor => %(cursor)s"),
    _list("type video", "type => 'video'"),
    _list("type video at a cursor", "type => 'video', cursor => %(cursor)s"),
    _list("a type without assets", "type => 'cut_file'"),
    _list("state failed and type video", "state => 'failed', type => 'video'"),
    _list("a state and type without assets", "state => 'ready', type => 'cut_file'"),
    _list("include_total", "include_total => true", grows=True),
    Statement("lease_jobs", "ten jobs", "assetdock_worker", "select assetdock.lease_jobs('bench', 10)"),
    Statement("resolve_api_key", "a key in use", "assetdock_gateway", "select assetdock.resolve_api_key(%(key_hash)s)"),
    Statement("resolve_api_key", "any key", "assetdock_gateway", "select assetdock.resolve_api_key(%(any_key_hash)s)"),
)


def _key_hash(number: int) -> str:
    return hashlib.sha256(f"key {number}".encode()).hexdigest()


def _one(connection: psycopg.Connection[Any], query: str, *arguments: str | int) -> str:
    row = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None  # noqa: S101 - each of these queries has one
    return str(row[0])
