"""The endpoints under /storage/v1, by what they handle."""
