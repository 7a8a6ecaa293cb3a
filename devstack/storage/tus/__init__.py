"""Resumable uploads (TUS 1.0.0) as Supabase Storage implements them.

Unlike the rest of Storage these endpoints use real HTTP statuses and plain-text bodies, and no row of storage.objects
exists before the last byte.
"""
