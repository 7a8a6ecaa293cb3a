"""Valid arguments for any function of schema assetdock, so that the caller or one bad value decides the outcome."""

import uuid
from collections.abc import Iterable
from typing import Any

from assetdock_server.identity import api_key
from assetdock_server.webhooks import secret as webhook_secret
from tests.callers import Caller


def valid_arguments(owner: Caller, names: Iterable[str]) -> dict[str, Any]:
    """Values for those of the names that need one. Ids are those of new objects of the owner."""
    names = set(names)
    key = api_key.make()
    values: dict[str, Any] = {
        "type": "audio",
        "name": "n",
        "scopes": ["api_keys:write"],
        "prefix": key.prefix,
        "secret_sha256": key.sha256,
        "worker": "w",
        "job_id": str(uuid.uuid4()),
        "lease_token": str(uuid.uuid4()),
        "reason": "",
        "duration_seconds": 1,
        "content_type": "audio/wav",
        "media": {},
        "error_code": "probe_crashed",
        "error_message": "",
        "asset_ids": [],
        "max_jobs": 1,
        "url": "https://hooks.example.com/",
        "event_types": ["asset.ready"],
        "secret": webhook_secret.make(),
        "response_status": 200,
        "duration_ms": 1,
        "kind": "no such kind",
        "subject": "",
    }
    if "webhook_endpoint_id" in names:
        values["webhook_endpoint_id"] = owner.create_endpoint("https://hooks.invalid/")["id"]
    if "delivery_id" in names:
        values["delivery_id"] = owner.send_test_event(values["webhook_endpoint_id"])["id"]
    if "asset_id" in names:
        values["asset_id"] = owner.reserve()["asset"]["id"]
    if "api_key_id" in names:
        values["api_key_id"] = owner.mint_key(scopes=["api_keys:write"])["id"]
    return {name: values[name] for name in names if name in values}
