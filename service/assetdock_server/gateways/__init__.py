"""Calls to Supabase's servers (PostgREST, Storage, Auth), with the caller's token."""
