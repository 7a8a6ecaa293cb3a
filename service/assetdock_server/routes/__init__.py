"""The HTTP routes: one module of handlers per part of the API. table.py lists every URL."""
