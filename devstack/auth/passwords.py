"""GoTrue's password rules, and bcrypt in a thread."""

import asyncio

import bcrypt

from devstack.auth.errors import AuthError, validation_failed

MIN_CHARACTERS = 6
MAX_BYTES = 72  # bcrypt ignores further bytes
COST = 10


async def hashed(password: str) -> str:
    """The bcrypt hash. Raises AuthError for a password that GoTrue rejects."""
    if len(password) < MIN_CHARACTERS:
        raise AuthError(
            422,
            "weak_password",
            f"Password should be at least {MIN_CHARACTERS} characters.",
            {"weak_password": {"reasons": ["length"]}},
        )
    if len(password.encode()) > MAX_BYTES:
        raise validation_failed(f"Password cannot be longer than {MAX_BYTES} characters")
    return (await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(COST))).decode()


async def matches(password: str, hash_: str | None) -> bool:
    if not hash_ or len(password.encode()) > MAX_BYTES:
        return False
    return await asyncio.to_thread(bcrypt.checkpw, password.encode(), hash_.encode())
