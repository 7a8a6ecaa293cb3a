"""PostgREST, in front of the database as role `authenticator`."""

import json
import os
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devstack import postgres
from devstack.binaries import find_postgrest
from devstack.child import Child
from devstack.ports import HOST, Ports
from devstack.private_file import write_private

DEFAULT_SCHEMAS = ("public", "assetdock")


def child(state: Path, ports: Ports, jwks: Mapping[str, Any], schemas: Sequence[str] = DEFAULT_SCHEMAS) -> Child:
    """``jwks``: the public keys (and the HS256 secret as an `oct` key) that sign the callers' tokens.

    PostgREST stays unready while a schema of ``schemas`` is missing: start it after the migrations.
    """
    settings = {
        "db-uri": postgres.url(ports.postgres, "authenticator"),
        "db-schemas": ",".join(schemas),
        "db-extra-search-path": "public,extensions",
        "db-anon-role": "anon",
        "db-pool": 20,
        "db-channel-enabled": True,
        "jwt-secret": json.dumps(jwks, separators=(",", ":")),
        "jwt-cache-max-lifetime": 300,
        "server-host": HOST,
        "server-port": ports.postgrest,
        "admin-server-port": ports.postgrest_admin,
        "log-level": "warn",
    }
    configuration = state / "postgrest.conf"
    write_private(configuration, "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return Child(
        "postgrest",
        [find_postgrest(), configuration],
        log=state / "logs/postgrest.log",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        ready=lambda: _is_ready(ports.postgrest_admin),
    )


def _is_ready(admin_port: int) -> bool:
    with urllib.request.urlopen(f"http://{HOST}:{admin_port}/ready", timeout=2) as answer:
        return bool(answer.status == 200)
