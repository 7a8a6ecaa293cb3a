"""The one kind of failure a person at the terminal is meant to read."""


class StackError(Exception):
    """Something the reader can put right. The message says what happened and what to do next."""
