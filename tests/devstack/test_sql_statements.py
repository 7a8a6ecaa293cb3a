"""Splitting a script into statements."""

import pytest

from devstack.sql_statements import split

SCRIPT = """-- first; of all
/* nested /* ; */ ; */
create schema assetdock_app;

create function assetdock_app.f(a int) returns int language sql
begin atomic
  select case when a > 1 then 1 else 2 end;
  select 2;
end;
;
do $x$ begin perform 1; raise notice $$;$$; end $x$;
"""


@pytest.mark.parametrize(
    "statement",
    [
        "select 'a;b', 'it''s; fine'",
        r"select E'it\'s; fine'",
        'create table "odd;name" (id int)',
        "create rule r as on insert to t do also (select 1; select 2)",
        "do $$ begin null; end $$",
        "do $body$ begin execute $q$select ';'$q$; end $body$",
        "select 1 /* not; the end */ + 1",
        "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
        "select a$1, b from t -- no dollar quote; here",
    ],
)
def test_nested_semicolon_does_not_end_a_statement(statement: str) -> None:
    assert [part.text for part in split(f"{statement}\n; select 2;")] == [statement, "select 2"]


def test_statements_have_the_line_of_their_start() -> None:
    assert [part.line for part in split(SCRIPT)] == [1, 5, 11]


def test_comment_belongs_to_the_next_statement_and_the_last_one_is_a_statement() -> None:
    assert [part.text for part in split("-- one\nselect 1;;\n-- the end;")] == [
        "-- one\nselect 1",
        "-- the end;",
    ]


def test_split_keeps_all_text() -> None:
    assert "".join(part.text for part in split(SCRIPT)).replace(" ", "").replace("\n", "") == SCRIPT.replace(
        "end;\n;\n", "end\n"
    ).replace("schema assetdock_app;", "schema assetdock_app").replace("$x$;", "$x$").replace(" ", "").replace("\n", "")
