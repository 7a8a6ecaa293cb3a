"""Valid names of buckets and objects."""

import re

from devstack.storage.errors import invalid_bucket_name, invalid_key

# The characters that S3 documents as safe, and some others that Storage accepts.
_KEY = re.compile(r"[\w/!\-.*'() &$@=;:+,?]+", re.ASCII)
MAX_KEY_BYTES = 1024


def require_key(name: str) -> str:
    """Raises StorageError for a name that Storage rejects, and for a path outside the bucket's directory."""
    if not _KEY.fullmatch(name) or len(name) > MAX_KEY_BYTES or {".", ".."} & set(name.split("/")):
        raise invalid_key(name)
    return name


def require_bucket_name(name: str) -> str:
    if not 0 < len(name) <= 100 or name.strip() != name or "/" in name or not _KEY.fullmatch(name):
        raise invalid_bucket_name()
    if name in (".", ".."):
        raise invalid_bucket_name()
    return name
