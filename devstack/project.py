"""The project that the stack serves: supabase/config.toml, supabase/migrations and supabase/functions."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.binaries import PROJECT
from devstack.edge_functions import function_of
from devstack.errors import StackError
from devstack.postgrest import DEFAULT_SCHEMAS
from devstack.storage.uploads import DEFAULT_SIZE_LIMIT

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


@dataclass(frozen=True)
class Project:
    """``buckets``: name → properties of `[storage.buckets.<name>]`, as Storage's API takes them. ``size_limit``: bytes,
    for any object. ``function``: the name of the Edge Function, if there is one and Deno is installed.
    """

    migrations: Path | None = None
    schemas: tuple[str, ...] = ("public",)
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    size_limit: int = DEFAULT_SIZE_LIMIT
    function: str | None = None

    @classmethod
    def read(cls, directory: Path = PROJECT) -> "Project":
        """Without a config.toml the schemas are `public` and `assetdock`, and there are no buckets."""
        file = directory / "supabase/config.toml"
        config = tomllib.loads(file.read_text()) if file.exists() else {}
        storage = config.get("storage", {})
        return cls(
            migrations=directory / "supabase/migrations",
            schemas=tuple(config.get("api", {}).get("schemas", DEFAULT_SCHEMAS)),
            buckets={name: _bucket(section) for name, section in storage.get("buckets", {}).items()},
            size_limit=_bytes(storage.get("file_size_limit", DEFAULT_SIZE_LIMIT)),
            function=function_of(directory),
        )


def _bucket(section: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name in ("public", "allowed_mime_types"):
        if name in section:
            properties[name] = section[name]
    if "file_size_limit" in section:
        properties["file_size_limit"] = _bytes(section["file_size_limit"])
    return properties


def _bytes(size: object) -> int:
    """A number of bytes. Like the Supabase CLI it treats `50MB` as `50MiB`. Raises StackError for an invalid size."""
    match = _SIZE.fullmatch(str(size))
    if match is None:
        raise StackError(f"supabase/config.toml: {size!r} is not a size; write it as 50MiB.")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))
