"""The rules about SQL source reject what they must reject."""

import pytest

from tests.database.sql_source import does_before, unbounded_writes


@pytest.mark.parametrize(
    "source",
    [
        "update t set a = 1;",
        "update t set a = (select b from u where u.id = 1);",
        "delete from t; -- where",
        "delete from t using u; select from v where v.id = 1;",
        "update t set a = 'where';",
        "for r in select id from u for update loop update t set a = 1; end loop;",
        "for r in update t set a = 1 returning id loop delete from v where v.id = r.id; end loop;",
        "with gone as (delete from t returning id) select from gone where id = 1;",
        "insert into u select 1 where not exists (select 1); update t set a = 1",
    ],
)
def test_finds_a_write_without_a_where_of_its_own(source: str) -> None:
    assert len(list(unbounded_writes(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "update t set a = 1 where id = 1;",
        "select id from t for update;",
        "select id from t for no key update skip locked;",
        "insert into t values (1) on conflict (id) do update set a = 1;",
        "with gone as (delete from t where id in (select id from u limit 1) returning id) select from gone;",
    ],
)
def test_accepts_bounded_writes_row_locks_and_upserts(source: str) -> None:
    assert list(unbounded_writes(source)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("declare c r := require('x'); begin return f(c); end", []),
        ("begin return summary(own(require('x'), id)); end", []),
        ("begin return f(id); end", None),
        ("begin if a then require('x'); end if; end", ["if"]),
        ("declare l r := effective_limits(id); c r := require('x'); begin end", [")"]),
        ("begin delete from t where id = 1; perform require('x'); end", ["delete", "from", "perform"]),
    ],
)
def test_finds_work_before_a_call(source: str, found: list[str] | None) -> None:
    assert does_before(source, "require") == found
