"""The worker, measured from several sides; `bench.worker` puts them together."""
