"""Inserts owners with credentials and assets directly into the database."""

import time
import uuid
from dataclasses import dataclass, field

import psycopg

from assetdock_server.identity import api_key
from devstack.stack import Stack

HOURS_6 = 6 * 3600
SCOPES = ["assets:read", "assets:write"]


@dataclass(frozen=True)
class Owner:
    """An owner: an API key, a session, the token that the service mints for the key, and ids of ready assets."""

    id: str
    key: str = field(repr=False)
    session: str = field(repr=False)
    minted: str = field(repr=False)
    assets: list[str]


def populate(stack: Stack, issuer: str, owners: int, assets_each: int) -> list[Owner]:
    """Creates `owners` owners, each with `assets_each` ready assets. `issuer` is the `iss` of their sessions."""
    ids = [str(uuid.uuid4()) for _ in range(owners)]
    keys = [api_key.make() for _ in ids]
    with psycopg.connect(stack.db_url) as database:
        # The rows are complete, so triggers are switched off.
        database.execute("set session_replication_role = replica")
        database.execute(
            "insert into auth.users (id, aud, role, email)"
            " select id, 'authenticated', 'authenticated', id || '@example.com' from unnest(%s::uuid[]) id",
            [ids],
        )
        key_ids = [
            str(row[0])
            for row in database.execute(
                "insert into assetdock_app.api_keys (owner_id, name, prefix, scopes, created_by)"
                " select o, 'bench', p, %s, 'session' from unnest(%s::uuid[], %s::text[]) made (o, p)"
                " returning id",
                [SCOPES, ids, [key.prefix for key in keys]],
            )
        ]
        database.execute(
            "insert into assetdock_private.api_key_secrets (sha256, api_key_id)"
            " select decode(s, 'hex'), k from unnest(%s::text[], %s::uuid[]) made (s, k)",
            [[key.sha256 for key in keys], key_ids],
        )
        rows = database.execute(
            "insert into assetdock_app.assets (owner_id, type, state, reserved_by, upload_expires_at, finish_by,"
            " landed_at, size_bytes, stored_bytes, content_type, duration_seconds, media, ready_at)"
            " select o, 'audio', 'ready', 'session', now(), now(), now(), 201082, 201082, 'audio/mpeg', 12.514,"
            ' \'{"container":"mp3","bit_rate":128548,"streams":[{"kind":"audio","codec":"mp3",'
            '"channels":1,"channel_layout":"mono","sample_rate":44100,"bit_rate":128000}]}\', now()'
            " from unnest(%s::uuid[]) o, generate_series(1, %s)"
            " returning owner_id, id",
            [ids, assets_each],
        ).fetchall()
        database.commit()
        database.autocommit = True
        database.execute("vacuum analyze")
    assets: dict[str, list[str]] = {}
    for owner_id, asset_id in rows:
        assets.setdefault(str(owner_id), []).append(str(asset_id))
    return [
        Owner(
            id=owner_id,
            key=key.plaintext,
            session=_token(stack, sub=owner_id, iss=issuer, **_auth_claims(owner_id)),
            minted=_token(stack, sub=owner_id, iss="assetdock", api_key_id=key_id),
            assets=assets[owner_id],
        )
        for owner_id, key, key_id in zip(ids, keys, key_ids, strict=True)
    ]


def delete_reservations(stack: Stack) -> None:
    """Deletes pending assets between rounds, so that owners stay below their limit."""
    with psycopg.connect(stack.db_url, autocommit=True) as database:
        database.execute("set session_replication_role = replica")
        database.execute("delete from assetdock_app.assets where state = 'pending_upload'")
        database.execute("vacuum assetdock_app.assets")


def _auth_claims(owner_id: str) -> dict[str, object]:
    """Further claims of Supabase Auth, which make the token as long as a real one."""
    return {
        "email": f"{owner_id}@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email": f"{owner_id}@example.com", "email_verified": True, "sub": owner_id},
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": int(time.time())}],
        "session_id": str(uuid.uuid4()),
        "is_anonymous": False,
    }


def _token(stack: Stack, **claims: object) -> str:
    now = int(time.time())
    return stack.keys.sign_es256(
        {"aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + HOURS_6, **claims}
    )
