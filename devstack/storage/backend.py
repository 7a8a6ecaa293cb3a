"""The services that every endpoint of Storage uses."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette.requests import Request

from devstack.keys import Keys
from devstack.storage.caller import Caller
from devstack.storage.database import Connection, Database, Operation
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

    def transaction(self, request: Request, caller: Caller, operation: str) -> AbstractAsyncContextManager[Connection]:
        """A transaction as the caller, for one operation of Storage."""
        return self.database.transaction(caller, Operation.of(request, operation))

    def service(self) -> Caller:
        """The caller `service_role`, as which Storage itself acts."""
        return self.uploads.service
