"""What may be a bucket or an object."""

import re

from devstack.storage.errors import invalid_bucket_name, invalid_key

# The characters S3 calls safe, and some it tolerates.
_KEY = re.compile(r"[\w/!\-.*'() &$@=;:+,?]+", re.ASCII)
MAX_KEY_BYTES = 1024


def require_key(name: str) -> str:
    """Raises StorageError for a name Storage would refuse, and for one that would leave its directory."""
    if not _KEY.fullmatch(name) or len(name) > MAX_KEY_BYTES or {".", ".."} & set(name.split("/")):
        raise invalid_key(name)
    return name


def require_bucket_name(name: str) -> str:
    if not 0 < len(name) <= 100 or name.strip() != name or "/" in name or not _KEY.fullmatch(name):
        raise invalid_bucket_name()
    if name in (".", ".."):
        raise invalid_bucket_name()
    return name
