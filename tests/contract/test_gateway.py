"""The gateway: API keys and CORS."""

import httpx
import pytest

from tests.contract.target import Caller, Target, put, sign_upload


def get(target: Target, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{target.url}{path}", headers=headers, timeout=240, trust_env=False)


@pytest.mark.parametrize("path", ["/rest/v1/", "/auth/v1/settings"])
def test_missing_or_unknown_apikey_is_401(target: Target, path: str) -> None:
    missing, unknown = get(target, path), get(target, path, apikey="sb_publishable_unknown")

    for response in (missing, unknown):
        assert response.status_code == 401
        assert response.json()["message"]


def test_jwks_need_no_apikey(target: Target) -> None:
    assert get(target, "/auth/v1/.well-known/jwks.json").json()["keys"]


def test_api_key_is_replaced_by_a_token_of_its_role(anonymous: Caller, admin: Caller) -> None:
    """Some clients repeat the key as a bearer token; it is replaced there too."""
    assert anonymous.get("/auth/v1/admin/users").status_code in (401, 403)
    assert admin.get("/auth/v1/admin/users").status_code == 200
    repeated = {"authorization": f"Bearer {admin.target.secret_key}"}
    assert admin.get("/auth/v1/admin/users", headers=repeated).status_code == 200
    assert admin.get("/storage/v1/bucket", headers=repeated).status_code == 200


def test_user_token_takes_precedence_over_the_secret_key(target: Target, owner: Caller) -> None:
    response = get(
        target,
        "/auth/v1/admin/users",
        apikey=target.secret_key,
        authorization=f"Bearer {owner.token}",
    )

    assert response.status_code == 403


def test_storage_needs_only_a_bearer_token(target: Target, owner: Caller) -> None:
    assert get(target, "/storage/v1/bucket", authorization=f"Bearer {owner.token}").status_code == 200
    assert get(target, "/storage/v1/bucket").status_code in (400, 401)


@pytest.mark.parametrize(
    "path",
    [
        "/rest/v1/rpc/anything",
        "/auth/v1/token",
        "/storage/v1/object/upload/sign/any/thing?token=x",
        "/storage/v1/object/sign/any/thing?token=x",
    ],
)
def test_every_path_accepts_a_preflight(target: Target, path: str) -> None:
    response = httpx.options(
        f"{target.url}{path}",
        headers={
            "origin": "http://localhost:3000",
            "access-control-request-method": "PUT",
            "access-control-request-headers": "content-type,x-upsert",
        },
        timeout=240,
        trust_env=False,
    )

    assert response.status_code in (200, 204)
    assert response.headers["access-control-allow-origin"] == "*"
    assert "PUT" in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "content-type" in allowed
    assert "x-upsert" in allowed


def test_every_response_has_one_allow_origin_header(target: Target, owner: Caller, bucket: str) -> None:
    responses = [
        put(target, sign_upload(owner, bucket, "a.txt")),
        put(target, f"/object/upload/sign/{bucket}/a.txt?token=bad"),
        get(target, "/rest/v1/", origin="http://localhost:3000"),
        owner.get("/rest/v1/", headers={"origin": "http://localhost:3000"}),
    ]

    for response in responses:
        assert response.headers.get_list("access-control-allow-origin") == ["*"], response.request.url
