"""A stand-in for Supabase Storage: signed uploads and downloads over real rows of storage.objects.

Like the real Storage it checks permissions with inserts that it rolls back, as the caller. Policies and triggers
therefore see the same statements in the same order as on hosted Supabase (see `uploads` and `database`).
"""
