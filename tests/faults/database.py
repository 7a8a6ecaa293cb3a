"""A database connection that calls functions as different callers."""

import json
from typing import Any

import psycopg

OUR_ERRORS = {"PGRST", "42501"}  # raised by assetdock_private.fail and by the storage guard


class Database:
    """One connection that calls functions as different callers."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def call(self, claims: dict[str, str], query: str, *parameters: object) -> Any:
        """Runs a query as the caller with these claims. Returns its one value, or None if one of our errors is raised.

        Raises psycopg.Error for every other error.
        """
        try:
            with self.connection.transaction():
                self.connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
                self.connection.execute(f"set local role {claims['role']}")
                row = self.connection.execute(query, parameters).fetchone()
                self.connection.execute("reset role")
                self.connection.execute("select set_config('request.jwt.claims', '', true)")
                return row and row[0]
        except psycopg.Error as error:
            if error.sqlstate not in OUR_ERRORS:
                raise
            return None

    def execute(self, statement: str, *parameters: object) -> None:
        """Runs a statement as superuser."""
        self.connection.execute(statement, parameters)

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """The rows of a query as superuser."""
        return self.connection.execute(query, parameters).fetchall()
