"""A stand-in for GoTrue: password and anonymous sessions, rotating refresh tokens, the admin API for users."""
