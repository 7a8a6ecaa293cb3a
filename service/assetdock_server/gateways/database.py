"""Database functions as methods of the same names. Their SQL comments describe them and their errors."""

from typing import Any

from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.identity.api_key import NewApiKey, ResolvedKey
from assetdock_server.identity.minting import Minter

Json = dict[str, Any]


class Database:
    """The functions for callers. `token` is the caller's JWT."""

    def __init__(self, postgrest: Postgrest) -> None:
        self._call = postgrest.call
        self._call_directly = postgrest.call_directly

    async def create_upload(self, token: str, reservation: Json, idempotency_key: str | None) -> Json:
        """`{asset, bucket, object_name, upload_expires_at}`; `{asset, upload_expires_at: null}` for a repeated request
        if the bytes have landed in the meantime.
        """
        return await self._call_json_directly("create_upload", _keyed(reservation, idempotency_key), token=token)

    async def renew_upload(self, token: str, asset_id: str, options: Json) -> Json:
        """`{asset, bucket, object_name, upload_expires_at}`."""
        return await self._call_json("renew_upload", {"asset_id": asset_id, **options}, token=token)

    async def confirm_upload(self, token: str, asset_id: str) -> Json:
        """The asset."""
        return await self._call_json_directly("confirm_upload", {"asset_id": asset_id}, token=token, idempotent=True)

    async def get_asset(self, token: str, asset_id: str) -> Json:
        """The asset."""
        return await self._call_json_directly("get_asset", {"asset_id": asset_id}, token=token, idempotent=True)

    async def list_assets(self, token: str, query: Json) -> Json:
        """`{items, limit, next_cursor, total?}`."""
        return await self._call_json_directly("list_assets", query, token=token, idempotent=True, inputs="query")

    async def list_asset_events(self, token: str, asset_id: str) -> Json:
        """`{items}`."""
        return await self._call_json("list_asset_events", {"asset_id": asset_id}, token=token, idempotent=True)

    async def delete_asset(self, token: str, asset_id: str) -> None:
        await self._call("delete_asset", {"asset_id": asset_id}, token=token, idempotent=True)

    async def restore_asset(self, token: str, asset_id: str) -> Json:
        """The asset."""
        return await self._call_json("restore_asset", {"asset_id": asset_id}, token=token, idempotent=True)

    async def list_api_keys(self, token: str) -> Json:
        """`{items}`."""
        return await self._call_json("list_api_keys", {}, token=token, idempotent=True)

    async def create_api_key(self, token: str, options: Json, key: NewApiKey, idempotency_key: str | None) -> Json:
        """The key, without its plaintext."""
        arguments = {**options, "prefix": key.prefix, "secret_sha256": key.sha256}
        return await self._call_json("create_api_key", _keyed(arguments, idempotency_key), token=token)

    async def rotate_api_key(
        self, token: str, api_key_id: str, options: Json, key: NewApiKey, idempotency_key: str | None
    ) -> Json:
        """The new key, without its plaintext."""
        arguments = {**options, "api_key_id": api_key_id, "prefix": key.prefix, "secret_sha256": key.sha256}
        return await self._call_json("rotate_api_key", _keyed(arguments, idempotency_key), token=token)

    async def revoke_api_key(self, token: str, api_key_id: str) -> None:
        await self._call("revoke_api_key", {"api_key_id": api_key_id}, token=token, idempotent=True)

    async def create_webhook_endpoint(
        self, token: str, options: Json, secret: str, idempotency_key: str | None
    ) -> Json:
        """The endpoint, without its secret."""
        arguments = _keyed({**options, "secret": secret}, idempotency_key)
        return await self._call_json("create_webhook_endpoint", arguments, token=token)

    async def list_webhook_endpoints(self, token: str) -> Json:
        """`{items}`."""
        return await self._call_json("list_webhook_endpoints", {}, token=token, idempotent=True)

    async def get_webhook_endpoint(self, token: str, endpoint_id: str) -> Json:
        """The endpoint."""
        arguments = {"webhook_endpoint_id": endpoint_id}
        return await self._call_json("get_webhook_endpoint", arguments, token=token, idempotent=True)

    async def delete_webhook_endpoint(self, token: str, endpoint_id: str) -> None:
        await self._call("delete_webhook_endpoint", {"webhook_endpoint_id": endpoint_id}, token=token, idempotent=True)

    async def rotate_webhook_secret(
        self, token: str, endpoint_id: str, options: Json, secret: str, idempotency_key: str | None
    ) -> Json:
        """`{webhook_endpoint, previous_secret_expires_at}`."""
        arguments = _keyed({**options, "webhook_endpoint_id": endpoint_id, "secret": secret}, idempotency_key)
        return await self._call_json("rotate_webhook_secret", arguments, token=token)

    async def test_webhook_endpoint(self, token: str, endpoint_id: str, idempotency_key: str | None) -> Json:
        """The delivery of the test event."""
        arguments = _keyed({"webhook_endpoint_id": endpoint_id}, idempotency_key)
        return await self._call_json("test_webhook_endpoint", arguments, token=token)

    async def list_webhook_deliveries(self, token: str, endpoint_id: str, query: Json) -> Json:
        """`{items, limit, next_cursor}`."""
        arguments = {**query, "webhook_endpoint_id": endpoint_id}
        return await self._call_json("list_webhook_deliveries", arguments, token=token, idempotent=True, inputs="query")

    async def replay_webhook_delivery(self, token: str, endpoint_id: str, delivery_id: str) -> Json:
        """The delivery."""
        arguments = {"webhook_endpoint_id": endpoint_id, "delivery_id": delivery_id}
        return await self._call_json("replay_webhook_delivery", arguments, token=token)

    async def _call_json(self, function: str, arguments: Json, **kwargs: Any) -> Json:
        result: Json = await self._call(function, arguments, **kwargs)
        return result

    async def _call_json_directly(self, function: str, arguments: Json, **kwargs: Any) -> Json:
        result: Json = await self._call_directly(function, arguments, **kwargs)
        return result


class KeyDirectory:
    """The functions of the role assetdock_gateway, which need no caller."""

    def __init__(self, postgrest: Postgrest, minter: Minter) -> None:
        self._call = postgrest.call
        self._call_directly = postgrest.call_directly
        self._minter = minter

    async def resolve_api_key(self, sha256: str) -> ResolvedKey:
        """The API key with this hash, and its owner. Raises ApiError `unauthenticated`."""
        found = await self._call_directly(
            "resolve_api_key", {"secret_sha256": sha256}, token=self._minter.for_gateway(), idempotent=True
        )
        return ResolvedKey(found["api_key_id"], found["owner_id"], found["prefix"])

    async def finished_assets(self, asset_ids: list[str]) -> list[str]:
        """The assets among these that are neither pending_upload nor processing."""
        finished: list[str] = await self._call(
            "finished_assets", {"asset_ids": asset_ids}, token=self._minter.for_gateway(), idempotent=True
        )
        return finished

    async def queue_stats(self) -> Json:
        """`{open: [{kind, available, leased, scheduled, oldest_seconds, attempts, postponed}], dead: {kind: n}}`."""
        stats: Json = await self._call("queue_stats", {}, token=self._minter.for_gateway(), idempotent=True)
        return stats

    async def ping(self) -> None:
        """Returns if the database responds and accepts our tokens."""
        await self._call("ping", {}, token=self._minter.for_gateway(), idempotent=True)


def _keyed(arguments: Json, idempotency_key: str | None) -> Json:
    return arguments if idempotency_key is None else {**arguments, "idempotency_key": idempotency_key}
