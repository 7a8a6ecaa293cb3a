"""Authentication: turns bearer credentials into a Principal with a token for the database."""
