"""A local Supabase without Docker: Postgres, PostgREST, and stand-ins for Auth, Storage and the gateway.

For development and tests only; production code never imports it. It listens on 127.0.0.1 only, and its database
passwords are public, like those of ``supabase start``.
"""
