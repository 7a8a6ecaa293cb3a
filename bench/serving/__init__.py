"""Servers, callers and load for the part on the request path."""
