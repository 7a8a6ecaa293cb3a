"""Splits an SQL script into statements with their line numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\* )
    | (?P<string> (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" )
    | (?P<dollar> (?<![\w$]) \$ (?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)? \$ )
    | (?P<word> [A-Za-z_][\w$]* )
    | (?P<mark> [;()] )
    """,
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class Statement:
    """``text`` is without the semicolon and surrounding whitespace; ``line`` is the line of its start, from 1."""

    text: str
    line: int


def split(script: str) -> list[Statement]:
    """Comments belong to the statement that follows. A comment at the end is a statement of its own, as in the Supabase
    CLI. Empty statements (`;;`) are skipped.
    """
    edges = [-1, *_ends(script), len(script)]
    found = [_statement(script, start + 1, end) for start, end in pairwise(edges)]
    return [statement for statement in found if statement.text]


def _statement(script: str, start: int, end: int) -> Statement:
    text = script[start:end]
    begin = start + len(text) - len(text.lstrip())
    return Statement(text.strip(), script.count("\n", 0, begin) + 1)


def _ends(script: str) -> Iterator[int]:
    """Yields the position of every semicolon that ends a statement. Semicolons inside strings, dollar quotes,
    parentheses, comments and `begin atomic … end` do not.
    """
    position = parentheses = blocks = 0
    previous = ""
    while token := _TOKEN.search(script, position):
        position = token.end()
        if token["comment"]:
            if token["comment"] == "/*":
                position = _after_comment(script, position)
            continue
        if token["dollar"]:
            closing = script.find(token["dollar"], position)
            position = len(script) if closing < 0 else closing + len(token["dollar"])
        word = (token["word"] or "").lower()
        if word == "atomic" and previous == "begin":
            blocks = 1
        elif blocks and word == "case":
            blocks += 1
        elif blocks and word == "end":
            blocks -= 1
        previous = word
        parentheses += {"(": 1, ")": -1}.get(token["mark"] or "", 0)
        if token["mark"] == ";" and not blocks and parentheses <= 0:
            parentheses = 0
            yield token.start()


def _after_comment(script: str, position: int) -> int:
    """The position after a block comment, which can contain nested comments."""
    depth = 1
    while depth and (edge := _NESTED.search(script, position)):
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position if not depth else len(script)
