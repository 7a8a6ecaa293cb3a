"""Measurements of the worker; `bench.worker` combines them."""
