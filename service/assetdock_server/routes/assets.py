"""Reading, listing, deleting and restoring assets."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.config import BUCKET
from assetdock_server.errors import ApiError, Field
from assetdock_server.gateways.results import Asset
from assetdock_server.identity.principal import Principal
from assetdock_server.routes.fields import Cursor, IncludeTotal, PageSize, StateFilter, TypeFilter, Wait
from assetdock_server.routes.parsing import Input, path_id, read_query
from assetdock_server.routes.resources import resources
from assetdock_server.routes.responses import json_response, rfc3339

UNFINISHED = ("pending_upload", "processing")


class AssetQuery(Input):
    """Query of GET /assets/{id}."""

    wait: Wait | None = None


class ListQuery(Input):
    """Query of GET /assets."""

    limit: PageSize | None = None
    cursor: Cursor | None = None
    state: StateFilter | None = None
    type: TypeFilter | None = None
    include_total: IncludeTotal | None = None


async def get_asset(request: Request, principal: Principal) -> Response:
    """GET /assets/{id}: get the asset, with a signed download URL if it is ready."""
    seconds = seconds_to_wait(request)
    asset_id = path_id(request, "asset_id")
    asset = await resources(request).database.get_asset(principal.token, asset_id)
    if seconds and asset["state"] in UNFINISHED:
        await resources(request).long_polling.wait(asset_id, principal.owner_id, seconds)
        asset = await resources(request).database.get_asset(principal.token, asset_id)
    return json_response(await with_download(request, principal, asset))


async def list_assets(request: Request, principal: Principal) -> Response:
    """GET /assets: list a page of assets, newest first."""
    query = read_query(request, ListQuery)
    return json_response(
        await resources(request).database.list_assets(principal.token, query.model_dump(exclude_none=True))
    )


async def list_events(request: Request, principal: Principal) -> Response:
    """GET /assets/{id}/events: list every change of state, oldest first."""
    return json_response(
        await resources(request).database.list_asset_events(principal.token, path_id(request, "asset_id"))
    )


async def delete_asset(request: Request, principal: Principal) -> Response:
    """DELETE /assets/{id}: deletes the asset. Its bytes are purged after the grace period."""
    await resources(request).database.delete_asset(principal.token, path_id(request, "asset_id"))
    return Response(status_code=204)


async def restore_asset(request: Request, principal: Principal) -> Response:
    """POST /assets/{id}/restore: restores a deleted asset."""
    return json_response(await resources(request).database.restore_asset(principal.token, path_id(request, "asset_id")))


async def with_download(request: Request, principal: Principal, asset: Asset) -> dict[str, Any]:
    """Adds the download URL and its expiry: null unless the asset is ready."""
    download = None
    if asset["state"] == "ready":
        download = await resources(request).storage.sign_download(principal.token, BUCKET, asset["id"])
    return {
        **asset,
        "download_url": download.url if download else None,
        "download_expires_at": rfc3339(download.expires_at) if download else None,
    }


def seconds_to_wait(request: Request) -> int:
    """The parameter `wait`, by default 0. It is checked here, because the database does not know it."""
    seconds = read_query(request, AssetQuery).wait or 0
    if not 0 <= seconds <= 30:
        raise ApiError("validation_error", fields=[Field("query.wait", "Must be from 0 to 30 seconds.")])
    return seconds
