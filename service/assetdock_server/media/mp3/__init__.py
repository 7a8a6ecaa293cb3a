"""Measures the duration of an MP3 by its frames."""
