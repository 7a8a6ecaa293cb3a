"""The two servers behind us, PostgREST and Storage, spoken to as the caller."""
