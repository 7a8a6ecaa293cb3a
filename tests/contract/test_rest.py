"""PostgREST behind the gateway: roles, errors raised in SQL, and tokens."""

from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.contract.target import RUN, Caller, Target
from tests.polling import until

SETUP = """
create function public.contract_RUN_who() returns jsonb language sql stable as $$
  select jsonb_build_object('role', current_user, 'uid', auth.uid(), 'claims', auth.jwt())
$$;
create function public.contract_RUN_fail() returns void language plpgsql as $$
begin
  raise sqlstate 'PGRST' using
    message = '{"code": "asset_gone", "message": "It is gone.", "details": null, "hint": null}',
    detail = '{"status": 410, "headers": {"Retry-After": "7"}}';
end
$$;
create function public.contract_RUN_echo(body json) returns json language sql immutable as 'select body';
create table public.contract_RUN_hidden (id int primary key);
alter table public.contract_RUN_hidden enable row level security;
grant select on public.contract_RUN_hidden to authenticated;
insert into public.contract_RUN_hidden values (1);
notify pgrst, 'reload schema';
""".replace("contract_RUN", f"contract_{RUN}")


@pytest.fixture(scope="module", autouse=True)
def functions(sql: psycopg.Connection, anonymous: Caller) -> Iterator[None]:
    sql.execute(SETUP.encode())
    who = f"/rest/v1/rpc/contract_{RUN}_who"
    until(lambda: anonymous.post(who, json={}).status_code == 200, "PostgREST to load the functions")
    yield
    for function in ("who()", "fail()", "echo(json)"):
        sql.execute(f"drop function public.contract_{RUN}_{function}".encode())
    sql.execute(f"drop table public.contract_{RUN}_hidden".encode())


def call(caller: Caller, function: str, body: object = None, **headers: str) -> httpx.Response:
    return caller.post(f"/rest/v1/rpc/contract_{RUN}_{function}", json=body or {}, headers=headers)


def test_function_runs_as_the_callers_role(anonymous: Caller, owner: Caller, admin: Caller) -> None:
    assert call(anonymous, "who").json()["role"] == "anon"
    assert call(admin, "who").json()["role"] == "service_role"
    as_owner = call(owner, "who").json()
    assert (as_owner["role"], as_owner["uid"]) == ("authenticated", owner.id)
    assert as_owner["claims"]["email"] == owner.user["email"]


def test_sql_error_sets_status_body_and_headers(owner: Caller) -> None:
    response = call(owner, "fail")

    assert response.status_code == 410
    assert response.json()["code"] == "asset_gone"
    assert response.headers["retry-after"] == "7"


def test_policies_hide_rows_without_an_error(owner: Caller) -> None:
    response = owner.get(f"/rest/v1/contract_{RUN}_hidden")

    assert (response.status_code, response.json()) == (200, [])


def test_unknown_function_is_404_and_unknown_schema_is_406(owner: Caller) -> None:
    assert call(owner, "unknown").status_code == 404
    assert call(owner, "unknown").json()["code"] == "PGRST202"
    assert call(owner, "who", None, **{"content-profile": "no_such_schema"}).status_code == 406


def test_forged_token_is_401(target: Target, owner: Caller) -> None:
    with Caller(target, target.publishable_key, f"{str(owner.token)[:-8]}AAAAAAAA") as forged:
        assert call(forged, "who").status_code == 401


def test_accepts_a_token_minted_with_the_projects_key(target: Target) -> None:
    sub = "11111111-1111-4111-8111-111111111111"
    token = target.mint(role="authenticated", sub=sub, iss="assetdock")
    with Caller(target, target.publishable_key, token) as minted:
        response = call(minted, "who").json()

    assert (response["role"], response["uid"], response["claims"]["iss"]) == ("authenticated", sub, "assetdock")


def test_transfers_megabytes_in_both_directions(owner: Caller) -> None:
    body = {"body": {"text": "x" * 3_000_000}}

    assert call(owner, "echo", body).json() == body["body"]
