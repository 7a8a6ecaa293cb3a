"""Assetdock's HTTP service and worker. Rules live in Postgres; this package carries requests to them."""
