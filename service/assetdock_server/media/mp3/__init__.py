"""The duration of an MP3, read from its frames."""
