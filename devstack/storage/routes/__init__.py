"""The endpoints under /storage/v1, by resource."""
