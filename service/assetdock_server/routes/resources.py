"""The services that handlers use, created once at startup."""

from dataclasses import dataclass

from starlette.requests import Request

from assetdock_server.gateways.database import Database, KeyDirectory
from assetdock_server.gateways.storage import Storage
from assetdock_server.identity.jwks import Jwks
from assetdock_server.identity.principal import Identification, Principal
from assetdock_server.routes.long_polling import LongPolling
from assetdock_server.routes.rate_limit import RateLimit


@dataclass(frozen=True)
class Resources:
    """The gateways, authentication and limits of one running service."""

    database: Database
    storage: Storage
    directory: KeyDirectory
    identification: Identification
    jwks: Jwks
    rate_limit: RateLimit
    long_polling: LongPolling

    async def identify(self, request: Request) -> Principal:
        """Identifies the caller, adds it to the request's log line, and counts the request for the rate limit."""
        principal = await self.identification.identify(request.headers)
        request.state.caller = principal.label
        request.state.headers = await self.rate_limit.hit(principal.owner_id)
        return principal


def resources(request: Request) -> Resources:
    """The resources of the running service."""
    found: Resources = request.app.state.resources
    return found
