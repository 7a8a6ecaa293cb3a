"""The services that every endpoint of Storage uses."""

from dataclasses import dataclass

from starlette.requests import Request

from devstack.keys import Keys
from devstack.storage.caller import Caller
from devstack.storage.database import Database
from devstack.storage.files import Files
from devstack.storage.tokens import SignedUrls
from devstack.storage.uploads import Uploads


@dataclass(frozen=True)
class Backend:
    database: Database
    files: Files
    keys: Keys
    signed_urls: SignedUrls
    uploads: Uploads

    def caller(self, request: Request) -> Caller:
        """Raises StorageError for a missing, invalid or expired token."""
        return Caller.of(request, self.keys)

    def service(self) -> Caller:
        """The caller `service_role`, as which Storage itself acts."""
        return self.uploads.service
