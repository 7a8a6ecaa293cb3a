"""Database functions as methods of the same names. Their SQL comments describe them and their errors."""

from assetdock_server.gateways import results
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.results import Json
from assetdock_server.identity.api_key import NewApiKey, ResolvedKey
from assetdock_server.identity.minting import Minter


class Database:
    """The functions for callers. `token` is the caller's JWT."""

    def __init__(self, postgrest: Postgrest) -> None:
        self._call = postgrest.call
        self._call_directly = postgrest.call_directly

    async def create_upload(
        self, token: str, reservation: Json, idempotency_key: str | None
    ) -> results.Reservation | results.LandedReservation:
        """`{asset, bucket, object_name, upload_expires_at}`; `{asset, upload_expires_at: null}` for a repeated request
        if the bytes have landed in the meantime.
        """
        return await self._call_directly(
            "create_upload", _keyed(reservation, idempotency_key), results.REPEATED_RESERVATION, token=token
        )

    async def renew_upload(self, token: str, asset_id: str, options: Json) -> results.Reservation:
        """`{asset, bucket, object_name, upload_expires_at}`."""
        return await self._call("renew_upload", {"asset_id": asset_id, **options}, results.RESERVATION, token=token)

    async def confirm_upload(self, token: str, asset_id: str) -> results.Asset:
        """The asset."""
        return await self._call_directly(
            "confirm_upload", {"asset_id": asset_id}, results.ASSET, token=token, idempotent=True
        )

    async def get_asset(self, token: str, asset_id: str) -> results.Asset:
        """The asset."""
        return await self._call_directly(
            "get_asset", {"asset_id": asset_id}, results.ASSET, token=token, idempotent=True
        )

    async def list_assets(self, token: str, query: Json) -> results.AssetPage:
        """`{items, limit, next_cursor, total?}`."""
        return await self._call_directly(
            "list_assets", query, results.ASSET_PAGE, token=token, idempotent=True, inputs="query"
        )

    async def list_asset_events(self, token: str, asset_id: str) -> results.AssetEvents:
        """`{items}`."""
        return await self._call(
            "list_asset_events", {"asset_id": asset_id}, results.ASSET_EVENTS, token=token, idempotent=True
        )

    async def delete_asset(self, token: str, asset_id: str) -> None:
        await self._call("delete_asset", {"asset_id": asset_id}, results.NOTHING, token=token, idempotent=True)

    async def restore_asset(self, token: str, asset_id: str) -> results.Asset:
        """The asset."""
        return await self._call("restore_asset", {"asset_id": asset_id}, results.ASSET, token=token, idempotent=True)

    async def list_api_keys(self, token: str) -> results.ApiKeys:
        """`{items}`."""
        return await self._call("list_api_keys", {}, results.API_KEYS, token=token, idempotent=True)

    async def create_api_key(
        self, token: str, options: Json, key: NewApiKey, idempotency_key: str | None
    ) -> results.ApiKey:
        """The key, without its plaintext."""
        arguments = {**options, "prefix": key.prefix, "secret_sha256": key.sha256}
        return await self._call("create_api_key", _keyed(arguments, idempotency_key), results.API_KEY, token=token)

    async def rotate_api_key(
        self, token: str, api_key_id: str, options: Json, key: NewApiKey, idempotency_key: str | None
    ) -> results.ApiKey:
        """The new key, without its plaintext."""
        arguments = {**options, "api_key_id": api_key_id, "prefix": key.prefix, "secret_sha256": key.sha256}
        return await self._call("rotate_api_key", _keyed(arguments, idempotency_key), results.API_KEY, token=token)

    async def revoke_api_key(self, token: str, api_key_id: str) -> None:
        await self._call("revoke_api_key", {"api_key_id": api_key_id}, results.NOTHING, token=token, idempotent=True)

    async def create_webhook_endpoint(
        self, token: str, options: Json, secret: str, idempotency_key: str | None
    ) -> results.WebhookEndpoint:
        """The endpoint, without its secret."""
        arguments = _keyed({**options, "secret": secret}, idempotency_key)
        return await self._call("create_webhook_endpoint", arguments, results.WEBHOOK_ENDPOINT, token=token)

    async def list_webhook_endpoints(self, token: str) -> results.WebhookEndpoints:
        """`{items}`."""
        return await self._call("list_webhook_endpoints", {}, results.WEBHOOK_ENDPOINTS, token=token, idempotent=True)

    async def get_webhook_endpoint(self, token: str, endpoint_id: str) -> results.WebhookEndpoint:
        """The endpoint."""
        arguments = {"webhook_endpoint_id": endpoint_id}
        return await self._call(
            "get_webhook_endpoint", arguments, results.WEBHOOK_ENDPOINT, token=token, idempotent=True
        )

    async def delete_webhook_endpoint(self, token: str, endpoint_id: str) -> None:
        await self._call(
            "delete_webhook_endpoint",
            {"webhook_endpoint_id": endpoint_id},
            results.NOTHING,
            token=token,
            idempotent=True,
        )

    async def rotate_webhook_secret(
        self, token: str, endpoint_id: str, options: Json, secret: str, idempotency_key: str | None
    ) -> results.RotatedSecret:
        """`{webhook_endpoint, previous_secret_expires_at}`."""
        arguments = _keyed({**options, "webhook_endpoint_id": endpoint_id, "secret": secret}, idempotency_key)
        return await self._call("rotate_webhook_secret", arguments, results.ROTATED_SECRET, token=token)

    async def test_webhook_endpoint(
        self, token: str, endpoint_id: str, idempotency_key: str | None
    ) -> results.WebhookDelivery:
        """The delivery of the test event."""
        arguments = _keyed({"webhook_endpoint_id": endpoint_id}, idempotency_key)
        return await self._call("test_webhook_endpoint", arguments, results.WEBHOOK_DELIVERY, token=token)

    async def list_webhook_deliveries(self, token: str, endpoint_id: str, query: Json) -> results.WebhookDeliveryPage:
        """`{items, limit, next_cursor}`."""
        arguments = {**query, "webhook_endpoint_id": endpoint_id}
        return await self._call(
            "list_webhook_deliveries",
            arguments,
            results.WEBHOOK_DELIVERY_PAGE,
            token=token,
            idempotent=True,
            inputs="query",
        )

    async def replay_webhook_delivery(self, token: str, endpoint_id: str, delivery_id: str) -> results.WebhookDelivery:
        """The delivery."""
        arguments = {"webhook_endpoint_id": endpoint_id, "delivery_id": delivery_id}
        return await self._call("replay_webhook_delivery", arguments, results.WEBHOOK_DELIVERY, token=token)


class KeyDirectory:
    """The functions of the role assetdock_gateway, which need no caller."""

    def __init__(self, postgrest: Postgrest, minter: Minter) -> None:
        self._call = postgrest.call
        self._call_directly = postgrest.call_directly
        self._minter = minter

    async def resolve_api_key(self, sha256: str) -> ResolvedKey:
        """The API key with this hash, and its owner. Raises ApiError `unauthenticated`."""
        found = await self._call_directly(
            "resolve_api_key",
            {"secret_sha256": sha256},
            results.KEY_OWNER,
            token=self._minter.for_gateway(),
            idempotent=True,
        )
        return ResolvedKey(found["api_key_id"], found["owner_id"], found["prefix"])

    async def finished_assets(self, asset_ids: list[str]) -> list[str]:
        """The assets among these that are neither pending_upload nor processing."""
        return await self._call(
            "finished_assets", {"asset_ids": asset_ids}, results.IDS, token=self._minter.for_gateway(), idempotent=True
        )

    async def queue_stats(self) -> results.QueueStats:
        """`{open: [{kind, available, leased, scheduled, oldest_seconds, attempts, postponed}], dead: {kind: n}}`."""
        return await self._call(
            "queue_stats", {}, results.QUEUE_STATS, token=self._minter.for_gateway(), idempotent=True
        )

    async def ping(self) -> None:
        """Returns if the database responds and accepts our tokens."""
        await self._call("ping", {}, results.PONG, token=self._minter.for_gateway(), idempotent=True)


def _keyed(arguments: Json, idempotency_key: str | None) -> Json:
    return arguments if idempotency_key is None else {**arguments, "idempotency_key": idempotency_key}
