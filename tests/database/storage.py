"""Requests to Storage's API, and the state of an asset."""

from collections.abc import Iterator
from typing import Any

import httpx

from tests.callers import Caller, Json
from tests.catalogue import Database


def refusal(response: httpx.Response) -> str:
    """The message of a refusal. Storage responds with 400 and puts the real status into the body."""
    body = response.json()
    assert (response.status_code, body["statusCode"]) == (400, "403"), response.text
    message: str = body["message"]
    return message


def storage(caller: Caller, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"apikey": caller.project.publishable_key, "Authorization": f"Bearer {caller.credential}"}
    return httpx.request(method, f"{caller.project.supabase_url}/storage/v1{path}", headers=headers, **options)


def storage_as_service_role(
    caller: Caller, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
) -> httpx.Response:
    secret = caller.project.secret_key
    headers = {"apikey": secret, "Authorization": f"Bearer {secret}", **(headers or {})}
    return httpx.request(method, f"{caller.project.supabase_url}/storage/v1{path}", headers=headers, **options)


def put_slowly(reservation: Json, content: Iterator[bytes]) -> httpx.Response:
    """The signed PUT as a chunked body, without a declared length."""
    target = reservation["upload"]
    return httpx.put(target["url"], headers=target["headers"], content=content)


def state(database: Database, asset_id: str) -> Any:
    row = database.execute("select state from assetdock_app.assets where id = %s", [asset_id]).fetchone()
    assert row is not None
    return row[0]


def chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]
