"""Tricks with the name of an object, at every door of Storage that takes one, with every credential."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import psycopg
import pytest

from tests.callers import Caller
from tests.contract.tus import encoded
from tests.security.test_storage_access import denied

Ask = Callable[..., httpx.Response]  # (method, path below /storage/v1, **how)
Door = Callable[[Ask, str, str], httpx.Response]  # (ask, the name as it stands in a URL, an object the caller may read)
AUDIO = {"Content-Type": "audio/wav", "x-upsert": "true"}


def tricks(mine: str, foreign: str) -> list[str]:
    """Names as they stand in a URL. None of them is that of a reservation of the caller."""
    return [
        foreign,
        mine.upper(),
        f"{mine}/",
        f"{mine}//",
        f"{mine}/x",
        f"x/../{foreign}",
        f"{mine}/../{foreign}",
        f"../assets/{foreign}",
        f"..%2fassets%2f{foreign}",
        f"%2e%2e/{foreign}",
        f"{mine}%00",
        f"{mine}%20",
        f"{mine}%0a",
        f"%20{mine}",
        f"{mine[:-1]}%ef%bc%91",  # a full-width digit
        mine.replace("-", "%e2%80%90"),  # another hyphen
        "{" + mine + "}",
        mine.replace("-", ""),
        f"urn:uuid:{mine}",
        str(uuid.uuid4()),
        "%ff",
    ]


def transfer(kind: str) -> Door:
    return lambda ask, name, source: ask(
        "POST",
        f"/object/{kind}",
        json={"bucketId": "assets", "sourceKey": source, "destinationKey": unquote(name, errors="replace")},
    )


WRITING: dict[str, Door] = {
    "sign an upload": lambda ask, name, _: ask("POST", f"/object/upload/sign/assets/{name}", json={}),
    "POST": lambda ask, name, _: ask("POST", f"/object/assets/{name}", content=b"x", headers=AUDIO),
    "PUT": lambda ask, name, _: ask("PUT", f"/object/assets/{name}", content=b"x", headers=AUDIO),
    "move": transfer("move"),
    "copy": transfer("copy"),
    "DELETE": lambda ask, name, _: ask("DELETE", f"/object/assets/{name}"),
    "TUS": lambda ask, name, _: create(ask, "", name),
}
READING: dict[str, Door] = {
    "sign a download": lambda ask, name, _: ask("POST", f"/object/sign/assets/{name}", json={"expiresIn": 60}),
    "info": lambda ask, name, _: ask("GET", f"/object/info/assets/{name}"),
    "GET": lambda ask, name, _: ask("GET", f"/object/authenticated/assets/{name}"),
}


def create(ask: Ask, door: str, name: str, bucket: str = "assets", **headers: str) -> httpx.Response:
    """Begins and at once finishes an upload of one byte over TUS."""
    metadata = {"bucketName": bucket, "objectName": unquote(name, errors="replace"), "contentType": "audio/wav"}
    return ask(
        "POST",
        f"/upload/resumable{door}",
        content=b"x",
        headers={
            "tus-resumable": "1.0.0",
            "upload-length": "1",
            "upload-metadata": encoded(metadata),  # type: ignore[arg-type]
            "content-type": "application/offset+octet-stream",
            **headers,
        },
    )


def turned_away(answer: httpx.Response) -> bool:
    """As Storage refuses, or as TUS does: with a status of its own and a text. For a name with a NUL, which
    Postgres cannot even be asked about, Storage reports an error of its database."""
    if answer.status_code == 500:
        return "%00" in str(answer.request.url) and answer.json()["code"] == "DatabaseError"
    return answer.status_code in (403, 413, 415) or (
        answer.status_code == 400 and "application/json" not in answer.headers.get("content-type", "")
    ) or denied(answer)  # fmt: skip


@pytest.fixture
def http(owner: Caller) -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def asking(owner: Caller, http: httpx.Client) -> Callable[[str | None], Ask]:
    """Somebody with a credential who asks Storage for a path exactly as it is written: httpx would tidy up dots."""

    def with_credential(credential: str | None) -> Ask:
        def ask(method: str, path: str, headers: dict[str, str] | None = None, **how: Any) -> httpx.Response:
            sent = {"apikey": owner.project.publishable_key, **(headers or {})}
            if credential is not None:
                sent["Authorization"] = f"Bearer {credential}"
            url = httpx.URL(owner.project.supabase_url).copy_with(raw_path=f"/storage/v1{path}".encode())
            return http.request(method, url, headers=sent, **how)

        return ask

    return with_credential


@pytest.fixture
def ready(owner: Caller, worker: object, wav: bytes) -> str:
    asset_id = owner.land(wav)
    owner.finished(asset_id)
    return asset_id


@pytest.fixture
def reserved(owner: Caller) -> dict[str, Any]:
    return owner.reserve()


@pytest.fixture
def foreign(stranger: Caller, worker: object, wav: bytes) -> str:
    asset_id = stranger.land(wav)
    stranger.finished(asset_id)
    return asset_id


@pytest.fixture
def names(ready: str, reserved: dict[str, Any], foreign: str, database: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """The tricks. Whatever was answered to them, no object came, went or changed."""
    objects = "select id, bucket_id, name, version, metadata::text from storage.objects order by id"
    before = database.execute(objects).fetchall()
    assert before
    yield tricks(reserved["asset"]["id"], foreign)
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


@pytest.mark.parametrize("door", [*WRITING, *READING])
def test_no_trick_with_the_name_opens_a_door(
    *,
    asking: Callable[[str | None], Ask],
    credentials: dict[str, str],
    names: list[str],
    ready: str,
    door: str,
) -> None:
    for who, credential in credentials.items():
        for name in names:
            if who == "assetdock_worker" and door in READING:
                continue  # it reads every object: that is its work
            answer = {**WRITING, **READING}[door](asking(credential), name, ready)
            assert turned_away(answer), (who, name, answer.status_code, answer.text)


def test_no_trick_with_the_name_lists_or_deletes_a_strangers_object(
    asking: Callable[[str | None], Ask], credentials: dict[str, str], names: list[str]
) -> None:
    for who, credential in credentials.items():
        ask = asking(credential)
        for name in names:
            written = unquote(name, errors="replace")
            removed = ask("DELETE", "/object/assets", json={"prefixes": [written]})
            assert removed.json() == [] or "\0" in written or denied(removed), (who, name, removed.text)
            if who == "assetdock_worker":
                continue  # it reads every object
            listed = ask("POST", "/object/list/assets", json={"prefix": written, "limit": 100})
            assert listed.json() == [] or "\0" in written or denied(listed), (who, name, listed.text)


def test_no_trick_with_the_name_lets_a_signed_token_put_elsewhere(
    asking: Callable[[str | None], Ask], reserved: dict[str, Any], stranger: Caller, names: list[str]
) -> None:
    """With the token of one's own reservation, and with one that a stranger lost."""
    ask = asking(None)
    another = stranger.reserve()
    for reservation in (reserved, another):
        token = reservation["upload"]["url"].split("token=")[1]
        # What the stranger's token is for is no trick; what the caller's is for is among the tricks in no spelling.
        for name in (*names, (another if reservation is reserved else reserved)["asset"]["id"]):
            put = ask("PUT", f"/object/upload/sign/assets/{name}?token={token}", content=b"x", headers=AUDIO)
            assert denied(put), (name, put.status_code, put.text)
            sent = create(ask, "/sign", name, **{"x-signature": token})
            assert turned_away(sent), (name, sent.status_code, sent.text)
        own = reservation["asset"]["id"]
        sent = create(ask, "/sign", own, bucket="other", **{"x-signature": token})
        assert turned_away(sent), sent.text
