"""What every endpoint of Storage needs at hand."""

from dataclasses import dataclass

from starlette.requests import Request

from devstack.keys import Keys
from devstack.storage.caller import Caller
from devstack.storage.database import Database
from devstack.storage.files import Files
from devstack.storage.tokens import SignedUrls
from devstack.storage.uploads import Uploads


@dataclass(frozen=True)
class Desk:
    database: Database
    files: Files
    keys: Keys
    signed_urls: SignedUrls
    uploads: Uploads

    def caller(self, request: Request) -> Caller:
        """Raises StorageError for a missing, foreign or expired token."""
        return Caller.of(request, self.keys)

    def service(self) -> Caller:
        """Storage itself."""
        return self.uploads.service
