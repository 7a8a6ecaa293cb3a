"""A local Supabase without Docker: Postgres, PostgREST, and stand-ins for Auth, Storage and the gateway.

For development and tests only; nothing in ``service/`` imports it. It listens on 127.0.0.1 alone and its
database passwords are public knowledge, as those of ``supabase start`` are.
"""
