"""Assetdock's HTTP service and worker. The rules are Postgres functions, which this package calls."""
