"""Documentation of the routes in routes/assets.py."""

from assetdock_server.routes.assets import AssetQuery, ListQuery
from assetdock_server.routes.descriptions.examples import ASSET_ID, CREATED_AT, LANDED_AT, READY, READY_AT, URL
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.assets import Asset, AssetHistory, AssetPage, AssetSummary

LIST_ASSETS = Operation(
    id="list_assets",
    tag="Assets",
    summary="List assets",
    description="Your assets, newest first. Follow `next_cursor` until it is null: each asset is listed exactly once, "
    "also while new ones are being made. A cursor is yours alone and good for the same filters.",
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
    description="An asset in whatever state, with a signed URL of its bytes once it is `ready`; the URL works for 15 "
    "minutes. With `wait` the answer is held until the asset is no longer `pending_upload` or `processing`, or the "
    "seconds have passed: ask again then. A busy server may answer at once.",
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
    summary="List what happened to an asset",
    description="Every change of its state, in order: from, to, when, by whom, why.",
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
    description="The asset is `deleted` at once and its bytes are purged after a grace, 30 days unless the operator "
    "set another; until then it can be restored. One that never had bytes cannot. Deleting it again is 204 as well.",
    status=204,
)

RESTORE_ASSET = Operation(
    id="restore_asset",
    tag="Assets",
    summary="Restore a deleted asset",
    description="Takes a deletion back: the asset is in the state it had. An asset that is not deleted is answered as "
    "it is. It is `asset_purged` once the purge of the bytes has begun, and `conflict` when there never were any.",
    response=AssetSummary,
    example=READY,
    errors=("conflict", "asset_purged"),
)
