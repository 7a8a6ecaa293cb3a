"""The error that is shown to the user at the terminal."""


class StackError(Exception):
    """An error that the user can fix. The message says what happened and what to do next."""
