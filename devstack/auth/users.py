"""Users: rows of auth.users and their JSON form."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from devstack.auth.errors import AuthError, validation_failed

Connection = AsyncConnection[DictRow]
User = dict[str, Any]
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


async def create(
    connection: Connection,
    *,
    email: str | None = None,
    encrypted_password: str | None = None,
    confirmed: bool = True,
    app_metadata: dict[str, Any] | None = None,
    user_metadata: dict[str, Any] | None = None,
    user_id: uuid.UUID | None = None,
    role: str = "authenticated",
) -> User:
    """Inserts a user; without an email the user is anonymous. Raises AuthError when the email is taken."""
    providers = {"provider": "email", "providers": ["email"]} if email else {}
    columns = {
        "id": user_id or uuid.uuid4(),
        "instance_id": uuid.UUID(int=0),
        "aud": "authenticated",
        "role": role,
        "email": email,
        "encrypted_password": encrypted_password or "",
        "raw_app_meta_data": Jsonb({**providers, **(app_metadata or {})}),
        "raw_user_meta_data": Jsonb(user_metadata or {}),
        "is_anonymous": email is None,
        "confirmed": confirmed and email is not None,
    }
    try:
        await connection.execute(
            """insert into auth.users (
                 id, instance_id, aud, role, email, encrypted_password, raw_app_meta_data, raw_user_meta_data,
                 is_anonymous, email_confirmed_at, created_at, updated_at
               ) values (
                 %(id)s, %(instance_id)s, %(aud)s, %(role)s, %(email)s, %(encrypted_password)s,
                 %(raw_app_meta_data)s, %(raw_user_meta_data)s, %(is_anonymous)s,
                 case when %(confirmed)s then now() end, now(), now()
               )""",
            columns,
        )
    except errors.UniqueViolation as error:
        raise AuthError(422, "email_exists", "A user with this email address has already been registered") from error
    if email:
        await _set_identity(connection, columns["id"], email)
    return await require(connection, columns["id"])


async def _set_identity(connection: Connection, user_id: object, email: str) -> None:
    data = {"sub": str(user_id), "email": email, "email_verified": True, "phone_verified": False}
    await connection.execute(
        """insert into auth.identities
             (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
           values (%s, %s, %s, 'email', now(), now(), now())
           on conflict (provider_id, provider) do update
             set identity_data = excluded.identity_data, updated_at = now()""",
        [str(user_id), user_id, Jsonb(data)],
    )


async def find(connection: Connection, user_id: object) -> User | None:
    try:
        key = uuid.UUID(str(user_id))
    except ValueError:
        return None
    cursor = await connection.execute(
        """select u.*, coalesce((
             select jsonb_agg(to_jsonb(i) || jsonb_build_object('identity_id', i.id, 'id', i.provider_id))
             from auth.identities i where i.user_id = u.id), '[]') as identities
           from auth.users u where u.id = %s and u.deleted_at is null""",
        [key],
    )
    return await cursor.fetchone()


async def require(connection: Connection, user_id: object) -> User:
    if user := await find(connection, user_id):
        return user
    raise AuthError(404, "user_not_found", "User not found")


async def find_by_email(connection: Connection, email: str) -> User | None:
    cursor = await connection.execute(
        "select id from auth.users where email = %s and not is_sso_user and deleted_at is null",
        [email.strip().lower()],
    )
    row = await cursor.fetchone()
    return await find(connection, row["id"]) if row else None


async def update(connection: Connection, user: User, **columns: object) -> User:
    """Sets columns by name. Metadata is merged; null removes a key."""
    for name in ("raw_app_meta_data", "raw_user_meta_data"):
        if (metadata := columns.get(name)) is not None:
            if not isinstance(metadata, dict):
                raise validation_failed("metadata must be an object")
            merged = {**(user[name] or {}), **metadata}
            columns[name] = Jsonb({key: value for key, value in merged.items() if value is not None})
    if columns:
        assignments = ", ".join(f"{name} = %({name})s" for name in columns)  # never names from a client
        try:
            await connection.execute(
                f"update auth.users set {assignments}, updated_at = now() where id = %(id)s".encode(),  # noqa: S608
                {**columns, "id": user["id"]},
            )
        except errors.UniqueViolation as error:
            raise AuthError(
                422, "email_exists", "A user with this email address has already been registered"
            ) from error
        if email := columns.get("email"):
            await _set_identity(connection, user["id"], str(email))
    return await require(connection, user["id"])


def email_of(body: dict[str, Any]) -> str | None:
    """The email of a request in lower case, as GoTrue stores it; None without one."""
    email = body.get("email")
    if email in (None, ""):
        return None
    if not isinstance(email, str) or not _EMAIL.fullmatch(email.strip()):
        raise validation_failed("Unable to validate email address: invalid format")
    return email.strip().lower()


def is_banned(user: User) -> bool:
    return user["banned_until"] is not None and user["banned_until"] > datetime.now(UTC)


def banned_until(duration: object) -> datetime | None:
    """The end of a ban. ``none`` lifts the ban; other values are Go durations like ``24h`` or ``1h30m``."""
    if duration == "none":
        return None
    text = str(duration)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise validation_failed(f'invalid format for ban duration: time: invalid duration "{text}"')
    return datetime.now(UTC) + timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def to_json(user: User) -> dict[str, Any]:
    """A user in the API's JSON form."""
    json = {
        "id": str(user["id"]),
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
        "identities": user["identities"],
        "is_anonymous": user["is_anonymous"],
    }
    for name in (
        "email_confirmed_at",
        "phone_confirmed_at",
        "confirmed_at",
        "last_sign_in_at",
        "banned_until",
        "created_at",
        "updated_at",
    ):
        if user[name] is not None:
            json[name] = timestamp(user[name])
    return json


def timestamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
