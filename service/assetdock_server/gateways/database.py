"""The database's functions as methods of the same names. Their comments in SQL say what they do and refuse."""

from typing import Any

from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.identity.api_key import NewApiKey, ResolvedKey
from assetdock_server.identity.minting import Minter

Json = dict[str, Any]


class Database:
    """The functions that callers may use. `token` is the caller's JWT."""

    def __init__(self, postgrest: Postgrest) -> None:
        self._call = postgrest.call
        self._hot = postgrest.call_directly

    async def create_upload(self, token: str, reservation: Json, idempotency_key: str | None) -> Json:
        """`{asset, bucket, object_name, upload_expires_at}`; `{asset, upload_expires_at: null}` for a repeated request
        whose bytes have landed since."""
        return await self._asked_hot("create_upload", _keyed(reservation, idempotency_key), token=token)

    async def renew_upload(self, token: str, asset_id: str, wish: Json) -> Json:
        """`{asset, bucket, object_name, upload_expires_at}`."""
        return await self._asked("renew_upload", {"asset_id": asset_id, **wish}, token=token)

    async def confirm_upload(self, token: str, asset_id: str) -> Json:
        """The asset."""
        return await self._asked_hot("confirm_upload", {"asset_id": asset_id}, token=token, idempotent=True)

    async def get_asset(self, token: str, asset_id: str) -> Json:
        """The asset."""
        return await self._asked_hot("get_asset", {"asset_id": asset_id}, token=token, idempotent=True)

    async def list_assets(self, token: str, query: Json) -> Json:
        """`{items, limit, next_cursor, total?}`."""
        return await self._asked_hot("list_assets", query, token=token, idempotent=True, inputs="query")

    async def list_asset_events(self, token: str, asset_id: str) -> Json:
        """`{items}`."""
        return await self._asked("list_asset_events", {"asset_id": asset_id}, token=token, idempotent=True)

    async def delete_asset(self, token: str, asset_id: str) -> None:
        await self._call("delete_asset", {"asset_id": asset_id}, token=token, idempotent=True)

    async def restore_asset(self, token: str, asset_id: str) -> Json:
        """The asset."""
        return await self._asked("restore_asset", {"asset_id": asset_id}, token=token, idempotent=True)

    async def list_api_keys(self, token: str) -> Json:
        """`{items}`."""
        return await self._asked("list_api_keys", {}, token=token, idempotent=True)

    async def create_api_key(self, token: str, wish: Json, key: NewApiKey, idempotency_key: str | None) -> Json:
        """The key, without its plaintext."""
        arguments = {**wish, "prefix": key.prefix, "secret_sha256": key.sha256}
        return await self._asked("create_api_key", _keyed(arguments, idempotency_key), token=token)

    async def rotate_api_key(
        self, token: str, api_key_id: str, wish: Json, key: NewApiKey, idempotency_key: str | None
    ) -> Json:
        """The new key, without its plaintext."""
        arguments = {**wish, "api_key_id": api_key_id, "prefix": key.prefix, "secret_sha256": key.sha256}
        return await self._asked("rotate_api_key", _keyed(arguments, idempotency_key), token=token)

    async def revoke_api_key(self, token: str, api_key_id: str) -> None:
        await self._call("revoke_api_key", {"api_key_id": api_key_id}, token=token, idempotent=True)

    async def create_webhook_endpoint(self, token: str, wish: Json, secret: str, idempotency_key: str | None) -> Json:
        """The endpoint, without its secret."""
        arguments = _keyed({**wish, "secret": secret}, idempotency_key)
        return await self._asked("create_webhook_endpoint", arguments, token=token)

    async def list_webhook_endpoints(self, token: str) -> Json:
        """`{items}`."""
        return await self._asked("list_webhook_endpoints", {}, token=token, idempotent=True)

    async def get_webhook_endpoint(self, token: str, endpoint_id: str) -> Json:
        """The endpoint."""
        arguments = {"webhook_endpoint_id": endpoint_id}
        return await self._asked("get_webhook_endpoint", arguments, token=token, idempotent=True)

    async def delete_webhook_endpoint(self, token: str, endpoint_id: str) -> None:
        await self._call("delete_webhook_endpoint", {"webhook_endpoint_id": endpoint_id}, token=token, idempotent=True)

    async def rotate_webhook_secret(
        self, token: str, endpoint_id: str, wish: Json, secret: str, idempotency_key: str | None
    ) -> Json:
        """`{webhook_endpoint, previous_secret_expires_at}`."""
        arguments = _keyed({**wish, "webhook_endpoint_id": endpoint_id, "secret": secret}, idempotency_key)
        return await self._asked("rotate_webhook_secret", arguments, token=token)

    async def test_webhook_endpoint(self, token: str, endpoint_id: str, idempotency_key: str | None) -> Json:
        """The delivery that will be tried."""
        arguments = _keyed({"webhook_endpoint_id": endpoint_id}, idempotency_key)
        return await self._asked("test_webhook_endpoint", arguments, token=token)

    async def list_webhook_deliveries(self, token: str, endpoint_id: str, query: Json) -> Json:
        """`{items, limit, next_cursor}`."""
        arguments = {**query, "webhook_endpoint_id": endpoint_id}
        return await self._asked("list_webhook_deliveries", arguments, token=token, idempotent=True, inputs="query")

    async def replay_webhook_delivery(self, token: str, endpoint_id: str, delivery_id: str) -> Json:
        """The delivery."""
        arguments = {"webhook_endpoint_id": endpoint_id, "delivery_id": delivery_id}
        return await self._asked("replay_webhook_delivery", arguments, token=token)

    async def _asked(self, function: str, arguments: Json, **how: Any) -> Json:
        answer: Json = await self._call(function, arguments, **how)
        return answer

    async def _asked_hot(self, function: str, arguments: Json, **how: Any) -> Json:
        answer: Json = await self._hot(function, arguments, **how)
        return answer


class KeyDirectory:
    """The functions of the role assetdock_gateway: what the service may ask before it knows its caller."""

    def __init__(self, postgrest: Postgrest, minter: Minter) -> None:
        self._call = postgrest.call
        self._hot = postgrest.call_directly
        self._minter = minter

    async def resolve_api_key(self, sha256: str) -> ResolvedKey:
        """Whose key has this hash. Raises ApiError `unauthenticated`."""
        found = await self._hot(
            "resolve_api_key", {"secret_sha256": sha256}, token=self._minter.for_gateway(), idempotent=True
        )
        return ResolvedKey(found["api_key_id"], found["owner_id"], found["prefix"])

    async def finished_assets(self, asset_ids: list[str]) -> list[str]:
        """Which of these assets are neither pending_upload nor processing any more."""
        settled: list[str] = await self._call(
            "finished_assets", {"asset_ids": asset_ids}, token=self._minter.for_gateway(), idempotent=True
        )
        return settled

    async def queue_stats(self) -> Json:
        """`{open: [{kind, available, leased, scheduled, oldest_seconds, attempts, postponed}], dead: {kind: n}}`."""
        stats: Json = await self._call("queue_stats", {}, token=self._minter.for_gateway(), idempotent=True)
        return stats

    async def ping(self) -> None:
        """Returns when the database answers and takes our tokens."""
        await self._call("ping", {}, token=self._minter.for_gateway(), idempotent=True)


def _keyed(arguments: Json, idempotency_key: str | None) -> Json:
    return arguments if idempotency_key is None else {**arguments, "idempotency_key": idempotency_key}
