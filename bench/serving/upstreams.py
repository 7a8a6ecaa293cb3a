"""The upstreams of the service behind one nginx: real PostgREST and Postgres, and a fixed response instead of Storage.

Storage is in no package registry, and the local stack's stand-in is Python, which would dominate the measurement. A
fixed response costs almost nothing, so the service's share is as large as possible and the ratios are lower bounds.
"""

import os
import shutil
import time
import urllib.request
from pathlib import Path

import jwt

from bench.serving.load import ToolMissingError
from devstack.child import Child
from devstack.ports import HOST, Ports
from devstack.stack import Stack

# `make bench` unpacks nginx here, because installing the package would start a web server on port 80.
UNPACKED = Path(__file__).parents[2] / "node_modules/.cache/debian/usr/sbin/nginx"
DAY = 86_400
NAME = "01a20bc8-9fa1-7d85-8938-770126c645ee"

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/json;
  upstream postgrest {{ server {host}:{postgrest}; keepalive 128; }}
  upstream stack {{ server {host}:{gateway}; keepalive 16; }}
  server {{
    listen {host}:{port} backlog=1024;
    location /rest/v1/ {{
      proxy_pass http://postgrest/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
    location /storage/v1/object/upload/sign/ {{
      return 200 '{{"url":"/object/upload/sign/assets/{name}?token={upload}","token":"{upload}"}}';
    }}
    location /storage/v1/object/sign/ {{
      return 200 '{{"signedURL":"/object/sign/assets/{name}?token={download}"}}';
    }}
    location / {{
      proxy_pass http://stack;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""


class Upstreams:
    """nginx in front of a running stack; `url` takes the place of SUPABASE_URL."""

    def __init__(self, stack: Stack) -> None:
        self.port = Ports.free().gateway
        self.url = f"http://{HOST}:{self.port}"
        directory = stack.state_dir / "nginx"
        directory.mkdir(mode=0o711, exist_ok=True)
        configuration = directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                directory=directory,
                host=HOST,
                port=self.port,
                postgrest=stack.ports.postgrest,
                gateway=stack.ports.gateway,
                name=NAME,
                upload=_storage_token("upload"),
                download=_storage_token("download"),
            )
        )
        self.child = Child(
            "nginx",
            [require_nginx(), "-p", directory, "-c", configuration],
            log=stack.state_dir / "logs/nginx.log",
            ready=self._responds,
            env={"PATH": os.environ["PATH"]},
        )

    def _responds(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/health", timeout=2) as response:
            return bool(response.status == 200)


def require_nginx() -> str:
    """The path of nginx: installed, or unpacked by `make bench`. Raises ToolMissingError."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or (UNPACKED.exists() and str(UNPACKED))
    if not found:
        raise ToolMissingError("The benchmark needs nginx: `make bench` unpacks it, or apt-get install nginx")
    return found


def _storage_token(scope: str) -> str:
    """A token as in Storage's signed URLs. The service reads only its `exp`."""
    now = int(time.time())
    claims = {
        "owner": "019de7f7-3a52-74d1-9eeb-323e0bfb7bb9", "upsert": False, "scope": scope, "iat": now, "exp": now + DAY,
        "url": f"assets/{NAME}",
    }  # fmt: skip
    return jwt.encode(claims, "a secret that no server here ever verifies", algorithm="HS256")
