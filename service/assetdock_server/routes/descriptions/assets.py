"""Documentation of the routes in routes/assets.py."""

from assetdock_server.routes.assets import AssetQuery, ListQuery
from assetdock_server.routes.descriptions.examples import ASSET_ID, CREATED_AT, LANDED_AT, READY, READY_AT, URL
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.assets import Asset, AssetHistory, AssetPage, AssetSummary

LIST_ASSETS = Operation(
    id="list_assets",
    tag="Assets",
    summary="List assets",
    description="Returns your assets, newest first. Follow `next_cursor` until it is null: each asset is listed "
    "exactly once, even while new assets are created. A cursor works only for the same owner and the same filters.",
    response=AssetPage,
    example={"items": [READY], "limit": 20, "next_cursor": None},
    query=ListQuery,
    query_example={"state": "ready"},
    errors=("bad_request",),
)

GET_ASSET = Operation(
    id="get_asset",
    tag="Assets",
    summary="Get an asset",
    description="Returns an asset in any state. When it is `ready`, the response contains a signed download URL, "
    "valid for 15 minutes. With `wait`, the server responds when the asset leaves `pending_upload` and `processing`, "
    "or when the seconds have passed: then send the request again. A busy server may respond at once.",
    response=Asset,
    example={
        **READY,
        "download_url": f"{URL}/sign/assets/{ASSET_ID}?token=eyJhbGciOi...",
        "download_expires_at": "2026-05-02T09:10:04.000000Z",
    },
    query=AssetQuery,
    query_example={"wait": "30"},
)

LIST_EVENTS = Operation(
    id="list_asset_events",
    tag="Assets",
    summary="List the events of an asset",
    description="Returns every change of the asset's state, oldest first, with its time, actor and reason.",
    response=AssetHistory,
    example={
        "items": [
            {"from": None, "to": "pending_upload", "at": CREATED_AT, "actor": "rk_live_aB3xK9mN", "reason": "reserved"},
            {"from": "pending_upload", "to": "processing", "at": LANDED_AT, "actor": "rk_live_aB3xK9mN",
             "reason": "the bytes landed"},
            {"from": "processing", "to": "ready", "at": READY_AT, "actor": "worker", "reason": "the media was read"},
        ]
    },
)  # fmt: skip

DELETE_ASSET = Operation(
    id="delete_asset",
    tag="Assets",
    summary="Delete an asset",
    description="Sets the asset to `deleted` at once. Its bytes are purged after a grace period: 30 days, unless the "
    "operator chose another. Until then you can restore the asset, unless its bytes never landed. Deleting a deleted "
    "asset also returns 204.",
    status=204,
)

RESTORE_ASSET = Operation(
    id="restore_asset",
    tag="Assets",
    summary="Restore a deleted asset",
    description="Restores a deleted asset to its previous state. An asset that is not deleted is returned unchanged. "
    "Fails with `asset_purged` when the purge of the bytes has begun, and with `conflict` when the bytes never landed.",
    response=AssetSummary,
    example=READY,
    errors=("conflict", "asset_purged"),
)
