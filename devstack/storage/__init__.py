"""A stand-in for Supabase Storage: signed uploads and downloads over real rows of storage.objects.

What makes it honest is the order of its statements, in `uploads` and `database`: permission is asked of
Postgres by inserts that are rolled back, as the caller, so that policies and triggers see here what they
see on hosted.
"""
