"""Reads what a media file is: streams, duration, and whether its end is there. Knows no queue and no database."""
