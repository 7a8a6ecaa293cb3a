"""Storage's routes reject object names that only resemble a reserved name, with every credential."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import psycopg
import pytest

from tests.callers import Caller
from tests.contract.tus import encode_metadata
from tests.security.test_storage_access import denied

Request = Callable[..., httpx.Response]  # (method, path below /storage/v1, **options)
# (request, the name as written in a URL, an object that the caller can read)
Route = Callable[[Request, str, str], httpx.Response]
AUDIO = {"Content-Type": "audio/wav", "x-upsert": "true"}


def similar_names(reserved: str, foreign: str) -> list[str]:
    """Names as written in a URL. None of them is the name of a reservation of the caller."""
    return [
        foreign,
        reserved.upper(),
        f"{reserved}/",
        f"{reserved}//",
        f"{reserved}/x",
        f"x/../{foreign}",
        f"{reserved}/../{foreign}",
        f"../assets/{foreign}",
        f"..%2fassets%2f{foreign}",
        f"%2e%2e/{foreign}",
        f"{reserved}%00",
        f"{reserved}%20",
        f"{reserved}%0a",
        f"%20{reserved}",
        f"{reserved[:-1]}%ef%bc%91",  # a full-width digit
        reserved.replace("-", "%e2%80%90"),  # another hyphen
        "{" + reserved + "}",
        reserved.replace("-", ""),
        f"urn:uuid:{reserved}",
        str(uuid.uuid4()),
        "%ff",
    ]


def transfer(kind: str) -> Route:
    return lambda request, name, source: request(
        "POST",
        f"/object/{kind}",
        json={"bucketId": "assets", "sourceKey": source, "destinationKey": unquote(name, errors="replace")},
    )


WRITING: dict[str, Route] = {
    "sign an upload": lambda request, name, _: request("POST", f"/object/upload/sign/assets/{name}", json={}),
    "POST": lambda request, name, _: request("POST", f"/object/assets/{name}", content=b"x", headers=AUDIO),
    "PUT": lambda request, name, _: request("PUT", f"/object/assets/{name}", content=b"x", headers=AUDIO),
    "move": transfer("move"),
    "copy": transfer("copy"),
    "DELETE": lambda request, name, _: request("DELETE", f"/object/assets/{name}"),
    "TUS": lambda request, name, _: tus_upload(request, "", name),
}
READING: dict[str, Route] = {
    "sign a download": lambda request, name, _: request("POST", f"/object/sign/assets/{name}", json={"expiresIn": 60}),
    "info": lambda request, name, _: request("GET", f"/object/info/assets/{name}"),
    "GET": lambda request, name, _: request("GET", f"/object/authenticated/assets/{name}"),
}


def tus_upload(request: Request, suffix: str, name: str, bucket: str = "assets", **headers: str) -> httpx.Response:
    """Creates a TUS upload of one byte and sends the byte in the same request."""
    metadata: dict[str, str | None] = {
        "bucketName": bucket,
        "objectName": unquote(name, errors="replace"),
        "contentType": "audio/wav",
    }
    return request(
        "POST",
        f"/upload/resumable{suffix}",
        content=b"x",
        headers={
            "tus-resumable": "1.0.0",
            "upload-length": "1",
            "upload-metadata": encode_metadata(metadata),
            "content-type": "application/offset+octet-stream",
            **headers,
        },
    )


def rejected(response: httpx.Response) -> bool:
    """Whether Storage rejected the request. TUS uses other statuses and plain text. Postgres accepts no NUL in a
    parameter, so Storage reports a database error for a name with one."""
    if response.status_code == 500:
        return "%00" in str(response.request.url) and response.json()["code"] == "DatabaseError"
    return response.status_code in (403, 413, 415) or (
        response.status_code == 400 and "application/json" not in response.headers.get("content-type", "")
    ) or denied(response)  # fmt: skip


@pytest.fixture
def http(owner: Caller) -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def with_credential(owner: Caller, http: httpx.Client) -> Callable[[str | None], Request]:
    """Makes requests with a credential. The path is sent exactly as written: httpx would normalize dots."""

    def requesting(credential: str | None) -> Request:
        def request(method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
            sent = {"apikey": owner.project.publishable_key, **(headers or {})}
            if credential is not None:
                sent["Authorization"] = f"Bearer {credential}"
            url = httpx.URL(owner.project.supabase_url).copy_with(raw_path=f"/storage/v1{path}".encode())
            return http.request(method, url, headers=sent, **options)

        return request

    return requesting


@pytest.fixture
def ready(owner: Caller, worker: object, wav: bytes) -> str:
    asset_id = owner.land(wav)
    owner.wait_until_finished(asset_id)
    return asset_id


@pytest.fixture
def reserved(owner: Caller) -> dict[str, Any]:
    return owner.reserve()


@pytest.fixture
def foreign(stranger: Caller, worker: object, wav: bytes) -> str:
    asset_id = stranger.land(wav)
    stranger.wait_until_finished(asset_id)
    return asset_id


@pytest.fixture
def names(ready: str, reserved: dict[str, Any], foreign: str, database: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """The similar names. After the test, no object was created, deleted or changed."""
    objects = "select id, bucket_id, name, version, metadata::text from storage.objects order by id"
    before = database.execute(objects).fetchall()
    assert before
    yield similar_names(reserved["asset"]["id"], foreign)
    assert database.execute(objects).fetchall() == before


@pytest.fixture
def credentials(owner: Caller, sign: Any, worker_environment: dict[str, str]) -> dict[str, str]:
    now = int(time.time())
    key = {"role": "authenticated", "sub": owner.owner_id, "api_key_id": owner.mint_key()["id"]}
    claims = {"iss": "assetdock", "aud": "authenticated", "iat": now, "exp": now + 300}
    return {
        "session": owner.credential,
        "token of a key": sign({**claims, **key}),
        "assetdock_gateway": sign({**claims, "role": "assetdock_gateway"}),
        "assetdock_worker": worker_environment["SUPABASE_WORKER_TOKEN"],
    }


@pytest.mark.parametrize("route", [*WRITING, *READING])
def test_every_route_rejects_similar_names(
    *,
    with_credential: Callable[[str | None], Request],
    credentials: dict[str, str],
    names: list[str],
    ready: str,
    route: str,
) -> None:
    for holder, credential in credentials.items():
        for name in names:
            if holder == "assetdock_worker" and route in READING:
                continue  # the worker can read every object
            response = {**WRITING, **READING}[route](with_credential(credential), name, ready)
            assert rejected(response), (holder, name, response.status_code, response.text)


def test_similar_names_list_and_delete_no_object(
    with_credential: Callable[[str | None], Request], credentials: dict[str, str], names: list[str]
) -> None:
    for holder, credential in credentials.items():
        request = with_credential(credential)
        for name in names:
            decoded = unquote(name, errors="replace")
            deleted = request("DELETE", "/object/assets", json={"prefixes": [decoded]})
            assert deleted.json() == [] or "\0" in decoded or denied(deleted), (holder, name, deleted.text)
            if holder == "assetdock_worker":
                continue  # the worker can read every object
            listed = request("POST", "/object/list/assets", json={"prefix": decoded, "limit": 100})
            assert listed.json() == [] or "\0" in decoded or denied(listed), (holder, name, listed.text)


def test_an_upload_token_accepts_only_the_exact_name_it_was_signed_for(
    with_credential: Callable[[str | None], Request], reserved: dict[str, Any], stranger: Caller, names: list[str]
) -> None:
    """With the token of the caller's own reservation, and with a stranger's token."""
    request = with_credential(None)
    others = stranger.reserve()
    for reservation in (reserved, others):
        token = reservation["upload"]["url"].split("token=")[1]
        for name in (*names, (others if reservation is reserved else reserved)["asset"]["id"]):
            put = request("PUT", f"/object/upload/sign/assets/{name}?token={token}", content=b"x", headers=AUDIO)
            assert denied(put), (name, put.status_code, put.text)
            sent = tus_upload(request, "/sign", name, **{"x-signature": token})
            assert rejected(sent), (name, sent.status_code, sent.text)
        own = reservation["asset"]["id"]
        sent = tus_upload(request, "/sign", own, bucket="other", **{"x-signature": token})
        assert rejected(sent), sent.text
