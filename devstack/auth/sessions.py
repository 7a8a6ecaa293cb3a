"""Sessions: an access token for one hour, and a chain of refresh tokens for one use each."""

import re
import secrets
import string
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from devstack.auth import users
from devstack.auth.errors import AuthError
from devstack.auth.users import Connection, User
from devstack.keys import Keys

LIFETIME_SECONDS = 3600
TOKEN_LENGTH = 12
_ALPHABET = string.ascii_lowercase + string.digits
_TOKEN = re.compile(rf"[a-z0-9]{{{TOKEN_LENGTH}}}")
REUSE_INTERVAL = timedelta(seconds=10)


class Sessions:
    """Opens, refreshes and ends sessions. Every method runs in the caller's transaction."""

    def __init__(self, keys: Keys, issuer: str) -> None:
        """``issuer``: `{SUPABASE_URL}/auth/v1`, the ``iss`` of every access token."""
        self.keys = keys
        self.issuer = issuer

    async def open(self, connection: Connection, user: User) -> dict[str, Any]:
        """A new session for an authenticated user. Raises AuthError for a banned user."""
        if users.is_banned(user):
            raise AuthError(400, "user_banned", "User is banned")
        session_id = uuid.uuid4()
        await connection.execute(
            "insert into auth.sessions (id, user_id, created_at, updated_at, aal) "
            "values (%s, %s, now(), now(), 'aal1')",
            [session_id, user["id"]],
        )
        user = await users.update(connection, user, last_sign_in_at=datetime.now(UTC))
        refresh_token = await self._new_refresh_token(connection, user["id"], session_id, parent=None)
        return self._to_json(user, session_id, datetime.now(UTC), refresh_token)

    async def refresh(self, connection: Connection, token: str) -> dict[str, Any] | AuthError:
        """A new access token and the next refresh token.

        A used token is accepted again within ten seconds, or while its successor is unused (the response with the
        successor may have been lost). Any other reuse revokes the session's tokens. The revocation must be committed,
        so this error is *returned*.
        """
        if not _TOKEN.fullmatch(token):
            raise AuthError(400, "validation_failed", "Refresh token is not valid")
        cursor = await connection.execute(
            """select t.id, t.token, t.revoked, t.updated_at, t.user_id, t.session_id, s.created_at as
            opened_at
               from auth.refresh_tokens t join auth.sessions s on s.id = t.session_id
               where t.token = %s for update""",
            [token],
        )
        row = await cursor.fetchone()
        if row is None:
            raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        user = await users.require(connection, row["user_id"])
        if users.is_banned(user):
            raise AuthError(400, "user_banned", "Invalid Refresh Token: User Banned")
        if row["revoked"]:
            current = await self._current(connection, row["session_id"])
            is_parent = current is not None and current["parent"] == token
            if current is None or not (is_parent or datetime.now(UTC) < row["updated_at"] + REUSE_INTERVAL):
                await self._revoke(connection, row["session_id"])
                return AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
            issued = str(current["token"])
        else:
            await connection.execute(
                "update auth.refresh_tokens set revoked = true, updated_at = now() where id = %s", [row["id"]]
            )
            issued = await self._new_refresh_token(connection, user["id"], row["session_id"], parent=token)
        await connection.execute(
            "update auth.sessions set refreshed_at = now(), updated_at = now() where id = %s",
            [row["session_id"]],
        )
        return self._to_json(user, row["session_id"], row["opened_at"], issued)

    async def end(self, connection: Connection, user_id: str, session_id: str | None, scope: str) -> None:
        """``scope``: global (all of the user's sessions), local (this one), others (all but this one)."""
        condition = {"global": "true", "local": "id = %(session)s", "others": "id <> %(session)s"}[scope]
        await connection.execute(
            f"delete from auth.sessions where user_id = %(user)s and {condition}".encode(),  # noqa: S608
            {"user": user_id, "session": session_id},
        )

    async def exists(self, connection: Connection, session_id: str) -> bool:
        cursor = await connection.execute("select 1 from auth.sessions where id = %s", [session_id])
        return await cursor.fetchone() is not None

    async def _current(self, connection: Connection, session_id: uuid.UUID) -> dict[str, Any] | None:
        cursor = await connection.execute(
            "select token, parent from auth.refresh_tokens "
            "where session_id = %s and not revoked order by id desc limit 1",
            [session_id],
        )
        return await cursor.fetchone()

    async def _revoke(self, connection: Connection, session_id: uuid.UUID) -> None:
        await connection.execute(
            "update auth.refresh_tokens set revoked = true, updated_at = now() where session_id = %s and not revoked",
            [session_id],
        )

    async def _new_refresh_token(
        self, connection: Connection, user_id: uuid.UUID, session_id: uuid.UUID, parent: str | None
    ) -> str:
        token = "".join(secrets.choice(_ALPHABET) for _ in range(TOKEN_LENGTH))
        await connection.execute(
            """insert into auth.refresh_tokens
                 (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
               values (%s, %s, %s, false, now(), now(), %s, %s)""",
            [uuid.UUID(int=0), token, str(user_id), parent, session_id],
        )
        return token

    def _to_json(self, user: User, session_id: uuid.UUID, opened_at: datetime, refresh_token: str) -> dict[str, Any]:
        now = int(time.time())
        method = "anonymous" if user["is_anonymous"] else "password"
        claims = {
            "iss": self.issuer,
            "sub": str(user["id"]),
            "aud": user["aud"],
            "exp": now + LIFETIME_SECONDS,
            "iat": now,
            "email": user["email"] or "",
            "phone": user["phone"] or "",
            "app_metadata": user["raw_app_meta_data"] or {},
            "user_metadata": user["raw_user_meta_data"] or {},
            "role": user["role"],
            "aal": "aal1",
            "amr": [{"method": method, "timestamp": int(opened_at.timestamp())}],
            "session_id": str(session_id),
            "is_anonymous": user["is_anonymous"],
        }
        return {
            "access_token": self.keys.sign(claims),
            "token_type": "bearer",
            "expires_in": LIFETIME_SECONDS,
            "expires_at": claims["exp"],
            "refresh_token": refresh_token,
            "user": users.to_json(user),
        }
