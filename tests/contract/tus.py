"""TUS 1.0.0 as a client speaks it, request by request."""

import base64
from typing import Any

import httpx

from tests.contract.target import Caller, Target

BYTES = "application/offset+octet-stream"


class Tus:
    """Somebody who uploads in parts: with a token (`x-signature`), or as a user."""

    def __init__(self, target: Target, door: str, headers: dict[str, str]) -> None:
        self.url = f"{target.url}/storage/v1/upload/resumable{door}"
        self.headers = headers

    def create(self, bucket: str, name: str, length: int | None, **how: Any) -> httpx.Response:
        """``how``: `content`, `metadata` (more of it, None takes one away), `headers`."""
        metadata = {"bucketName": bucket, "objectName": name, "contentType": "text/plain", **how.get("metadata", {})}
        announced = {"upload-defer-length": "1"} if length is None else {"upload-length": str(length)}
        if "content" in how:
            announced["content-type"] = BYTES
        headers = {**announced, "upload-metadata": encoded(metadata), **how.get("headers", {})}
        return self.ask("POST", self.url, content=how.get("content", b""), **headers)

    def begin(self, bucket: str, name: str, length: int | None, **how: Any) -> str:
        """The URL of a new upload."""
        answer = self.create(bucket, name, length, **how)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"])

    def patch(self, url: str, offset: int, content: Any, **headers: str) -> httpx.Response:
        sent = {"upload-offset": str(offset), "content-type": BYTES, **headers}
        return self.ask("PATCH", url, content=content, **sent)

    def head(self, url: str, **headers: str) -> httpx.Response:
        return self.ask("HEAD", url, **headers)

    def delete(self, url: str) -> httpx.Response:
        return self.ask("DELETE", url)

    def ask(self, method: str, url: str, content: Any = None, **headers: str) -> httpx.Response:
        """A header that is "" is not sent."""
        sent = {"tus-resumable": "1.0.0", **self.headers, **headers}
        sent = {name: value for name, value in sent.items() if value}
        return httpx.request(method, url, headers=sent, content=content, timeout=30, trust_env=False)


def encoded(metadata: dict[str, str | None]) -> str:
    return ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items() if value is not None
    )


def by_token(caller: Caller, bucket: str, name: str) -> Tus:
    answer = caller.post(f"/storage/v1/object/upload/sign/{bucket}/{name}")
    assert answer.status_code == 200, answer.text
    return Tus(caller.target, "/sign", {"x-signature": answer.json()["token"]})


def as_user(caller: Caller) -> Tus:
    return Tus(caller.target, "", {"authorization": f"Bearer {caller.token}"})
