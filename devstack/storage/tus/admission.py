"""Who may do this to a resumable upload: asked anew on every request."""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from devstack.storage.database import Occasion
from devstack.storage.desk import Desk
from devstack.storage.errors import invalid_signature
from devstack.storage.names import require_bucket_name, require_key
from devstack.storage.tus.protocol import not_found
from devstack.storage.uploads import Target

Step = Literal["create", "part", "get", "delete"]


@dataclass(frozen=True)
class Place:
    """What the last part of an upload's URL says, in base64url: `bucket/name/version`.

    Raises StorageError for what can be no bucket or no name.
    """

    bucket_id: str
    name: str
    version: str

    def __post_init__(self) -> None:
        require_bucket_name(self.bucket_id)
        require_key(self.name)

    @classmethod
    def of(cls, encoded: str) -> "Place":
        """Raises TusError 404 for what is no base64url."""
        try:
            text = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise not_found() from None
        bucket_id, _, rest = text.partition("/")
        name, _, version = rest.rpartition("/")
        return cls(bucket_id, name, version)

    def encoded(self) -> str:
        text = f"{self.bucket_id}/{self.name}/{self.version}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Pass:
    """In whose name a request goes on, and what Storage calls what it does."""

    owner: str | None
    occasion: Occasion


async def by_token(desk: Desk, request: Request, place: Place, step: Step) -> Pass:
    """The token of a signed upload URL is the permission, for as long as it lives. What it says of upsert
    is ignored, as the real Storage ignores it here.
    """
    token = request.headers.get("x-signature")
    if not token:
        raise invalid_signature("Missing x-signature header")
    claims = desk.signed_urls.verify(token, f"{place.bucket_id}/{place.name}", "upload")
    return Pass(claims.get("owner"), Occasion.of(request, f"tus.upload.{step}_signed"))


async def by_policies(desk: Desk, request: Request, place: Place, step: Step) -> Pass:
    """The user's own token, and the policies on storage.objects. Looking needs the token only."""
    caller, occasion = desk.caller(request), Occasion.of(request, f"tus.upload.{step}")
    if step != "get":
        upsert = request.headers.get("x-upsert") == "true"
        await desk.uploads.ask(caller, occasion, Target(place.bucket_id, place.name, caller.sub, upsert), {})
    return Pass(caller.sub, occasion)
