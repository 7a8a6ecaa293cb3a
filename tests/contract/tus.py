"""A TUS 1.0.0 client that sends single requests."""

import base64
from typing import Any

import httpx

from tests.contract.target import Caller, Target

BYTES = "application/offset+octet-stream"


class Tus:
    """A client with an upload token (`x-signature`) or a user's session."""

    def __init__(self, target: Target, path: str, headers: dict[str, str]) -> None:
        self.url = f"{target.url}/storage/v1/upload/resumable{path}"
        self.headers = headers

    def create(self, bucket: str, name: str, length: int | None, **options: Any) -> httpx.Response:
        """``options``: `content`, `headers`, and `metadata` to add or, with None, to remove."""
        metadata = {
            "bucketName": bucket,
            "objectName": name,
            "contentType": "text/plain",
            **options.get("metadata", {}),
        }
        upload_headers = {"upload-defer-length": "1"} if length is None else {"upload-length": str(length)}
        if "content" in options:
            upload_headers["content-type"] = BYTES
        headers = {**upload_headers, "upload-metadata": encode_metadata(metadata), **options.get("headers", {})}
        return self.request("POST", self.url, content=options.get("content", b""), **headers)

    def begin(self, bucket: str, name: str, length: int | None, **options: Any) -> str:
        """The URL of a new upload."""
        response = self.create(bucket, name, length, **options)
        assert response.status_code == 201, response.text
        return str(response.headers["location"])

    def patch(self, url: str, offset: int, content: Any, **headers: str) -> httpx.Response:
        sent = {"upload-offset": str(offset), "content-type": BYTES, **headers}
        return self.request("PATCH", url, content=content, **sent)

    def head(self, url: str, **headers: str) -> httpx.Response:
        return self.request("HEAD", url, **headers)

    def delete(self, url: str) -> httpx.Response:
        return self.request("DELETE", url)

    def request(self, method: str, url: str, content: Any = None, **headers: str) -> httpx.Response:
        """Sends the request, without headers whose value is empty."""
        sent = {"tus-resumable": "1.0.0", **self.headers, **headers}
        sent = {name: value for name, value in sent.items() if value}
        return httpx.request(method, url, headers=sent, content=content, timeout=240, trust_env=False)


def encode_metadata(metadata: dict[str, str | None]) -> str:
    return ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items() if value is not None
    )


def by_token(caller: Caller, bucket: str, name: str) -> Tus:
    response = caller.post(f"/storage/v1/object/upload/sign/{bucket}/{name}")
    assert response.status_code == 200, response.text
    return Tus(caller.target, "/sign", {"x-signature": response.json()["token"]})


def as_user(caller: Caller) -> Tus:
    return Tus(caller.target, "", {"authorization": f"Bearer {caller.token}"})


def stored(admin: Caller, bucket: str, name: str = "a.bin") -> bytes | None:
    response = admin.get(f"/storage/v1/object/authenticated/{bucket}/{name}")
    return response.content if response.status_code == 200 else None
