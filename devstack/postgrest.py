"""The PostgREST process, which connects as role `authenticator`."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devstack import postgres
from devstack.binaries import find_postgrest
from devstack.child import Child, responds
from devstack.ports import HOST, Ports
from devstack.secret_files import write_secret_file

DEFAULT_SCHEMAS = ("public", "assetdock")


def child(state: Path, ports: Ports, jwks: Mapping[str, Any], schemas: Sequence[str] = DEFAULT_SCHEMAS) -> Child:
    """``jwks``: the keys that verify tokens: public keys, and the HS256 secret as an `oct` key.

    PostgREST is not ready while a schema of ``schemas`` is missing, so start it after the migrations.
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
    write_secret_file(configuration, "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return Child(
        "postgrest",
        [find_postgrest(), configuration],
        log=state / "logs/postgrest.log",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        ready=lambda: responds(f"http://{HOST}:{ports.postgrest_admin}/ready"),
    )
