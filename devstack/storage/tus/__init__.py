"""Resumable uploads: TUS 1.0.0, as the real Storage speaks it.

It differs from the rest of Storage in its manners: real HTTP statuses, plain text, and no row of
storage.objects before the last byte.
"""
