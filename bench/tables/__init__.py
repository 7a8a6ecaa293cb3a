"""Rows, statements and their plans for the part on SQL."""
