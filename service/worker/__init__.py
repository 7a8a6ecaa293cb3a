"""Reads the truth off uploaded bytes."""
