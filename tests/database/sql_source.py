"""Rules about the source of SQL and PL/pgSQL functions, for the walk through the catalogue."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|(?P<string>'(?:[^']|'')*')|(?P<word>\"(?:[^\"]|\"\")*\"|[a-z_][\w$.]*)|(?P<mark>[();])",
    re.IGNORECASE | re.DOTALL,
)
# `select … for update`, `select … for no key update` and `on conflict … do update` write no row by themselves.
_BEFORE_ANOTHER_UPDATE = {"for", "key", "do"}
_READS_OR_WRITES = {"from", "into", "insert", "update", "delete", "perform", "call", "execute", "raise", "if", "case"}


def tokens(source: str) -> list[str]:
    """Words in lower case, parentheses and semicolons. Comments are left out, and each string becomes `''`."""
    return [
        "''" if match["string"] else match[0].lower()
        for match in _TOKEN.finditer(source)
        if match["string"] or match["word"] or match["mark"]
    ]


def unbounded_writes(source: str) -> Iterator[str]:
    """Yields each UPDATE and DELETE that has no WHERE of its own. A WHERE in a subquery does not count."""
    found = tokens(source)
    for index, word in enumerate(found):
        is_update = word == "update" and found[max(index - 1, 0)] not in _BEFORE_ANOTHER_UPDATE
        if is_update or found[index : index + 2] == ["delete", "from"]:
            statement = list(_statement(found[index:]))
            if "where" not in statement:
                yield " ".join(statement)


def _statement(found: list[str]) -> Iterator[str]:
    """Yields a statement's tokens outside parentheses, up to its semicolon or the parenthesis that closes its CTE."""
    depth = 0
    for token in found:
        if token == ")":
            depth -= 1
        if depth < 0 or (depth == 0 and token in (";", "loop")):
            return
        if depth == 0:
            yield token
        if token == "(":
            depth += 1


def does_before(source: str, function: str) -> list[str] | None:
    """Returns the words and marks before the first call of a function that can read, write or finish another call.

    Returns None if the source never calls the function.
    """
    found = tokens(source)
    if function not in found:
        return None
    return [token for token in found[: found.index(function)] if token == ")" or token in _READS_OR_WRITES]
