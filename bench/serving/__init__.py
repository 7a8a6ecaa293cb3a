"""Servers, callers and load for the request path."""
