"""The settings of a process, read once from the environment. Supabase's own names are used where they exist."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from assetdock_server.identity.signing import SigningKey, read_private_jwk, read_secret

BUCKET = "assets"  # the Storage bucket of every asset; the migrations create it


class ConfigError(Exception):
    """A setting is missing or malformed. The message is one line: which setting, and where to find its value."""


@dataclass(frozen=True)
class Connection:
    """The addresses and key of the Supabase project, used by the service and the worker.

    `bytes_only_url` is an address for bytes, if the project has one beside `supabase_url`, as hosted projects do.
    """

    supabase_url: str
    publishable_key: str
    bytes_only_url: str | None = None

    @property
    def rest_url(self) -> str:
        return f"{self.supabase_url}/rest/v1"

    @property
    def storage_url(self) -> str:
        return f"{self.supabase_url}/storage/v1/"

    @property
    def bytes_origin(self) -> str:
        """Where bytes are sent to and read from."""
        return self.bytes_only_url or self.supabase_url

    @property
    def bytes_url(self) -> str:
        """Storage's API as the holder of a signed URL reaches it."""
        return f"{self.bytes_origin}/storage/v1/"

    @property
    def issuer(self) -> str:
        """The claim `iss` of session JWTs."""
        return f"{self.supabase_url}/auth/v1"

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer}/.well-known/jwks.json"


@dataclass(frozen=True)
class ServiceSettings:
    """The settings of `serve`. `session_secret` is the project's HS256 secret, if it has one."""

    connection: Connection
    signing_key: SigningKey
    session_secret: bytes | None
    host: str
    port: int
    cors_origins: tuple[str, ...]
    requests_per_minute: int | None  # per owner and process; None: no limit
    log_level: str


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of `worker`. The signing key is not among them: an exploit of ffprobe must not get service_role."""

    connection: Connection
    token: str
    lease_seconds: int  # the job of a crashed worker is available again after this time
    probe_seconds: float  # time limit of one probe
    host: str
    metrics_port: int | None
    log_level: str


def service_settings(environment: Mapping[str, str]) -> ServiceSettings:
    """Reads the settings of the service. Raises ConfigError."""
    secret = environment.get("SUPABASE_JWT_SECRET") or None
    jwk = environment.get("SUPABASE_SIGNING_KEY") or None
    try:
        session_secret = read_secret(secret) if secret else None
    except ValueError as error:
        raise ConfigError(f"SUPABASE_JWT_SECRET {error}") from error
    if jwk:
        try:
            signing_key = SigningKey.from_jwk(read_private_jwk(jwk))
        except ValueError as error:
            raise ConfigError(
                f"SUPABASE_SIGNING_KEY {error}. `supabase gen signing-key --algorithm ES256` prints one; "
                "import it under Project Settings > JWT Keys."
            ) from error
    elif session_secret:
        signing_key = SigningKey.from_secret(session_secret)
    else:
        raise ConfigError(
            "SUPABASE_SIGNING_KEY (a private JWK) or SUPABASE_JWT_SECRET is missing: see Project Settings > JWT Keys."
        )
    return ServiceSettings(
        connection=_connection(environment),
        signing_key=signing_key,
        session_secret=session_secret,
        host=environment.get("HOST") or "127.0.0.1",
        port=_port(environment.get("PORT") or "8000"),
        cors_origins=tuple(_origins(environment.get("ASSETDOCK_CORS_ORIGINS") or "*")),
        requests_per_minute=_rate(environment.get("ASSETDOCK_RATE_LIMIT") or "1200"),
        log_level=_log_level(environment),
    )


def worker_settings(environment: Mapping[str, str]) -> WorkerSettings:
    """Reads the settings of the worker. Raises ConfigError."""
    token = environment.get("SUPABASE_WORKER_TOKEN") or ""
    if _claims(token).get("role") != "assetdock_worker":
        raise ConfigError(
            "SUPABASE_WORKER_TOKEN is missing or not a token for assetdock_worker. "
            "Create one with `assetdock-server mint-worker-token`."
        )
    metrics_port = environment.get("ASSETDOCK_WORKER_METRICS_PORT")
    return WorkerSettings(
        connection=_connection(environment),
        token=token,
        lease_seconds=_seconds(environment, "ASSETDOCK_LEASE_SECONDS", 60, range(5, 3601)),
        probe_seconds=_seconds(environment, "ASSETDOCK_PROBE_SECONDS", 60, range(1, 3601)),
        host=environment.get("HOST") or "127.0.0.1",
        metrics_port=_port(metrics_port, "ASSETDOCK_WORKER_METRICS_PORT") if metrics_port else None,
        log_level=_log_level(environment),
    )


def _connection(environment: Mapping[str, str]) -> Connection:
    url = (environment.get("SUPABASE_URL") or "").rstrip("/")
    if not _is_origin(url):
        raise ConfigError(
            "SUPABASE_URL is missing or not a plain http(s) URL: see Project Settings > Data API, "
            "for example https://abcdefgh.supabase.co."
        )
    bytes_only_url = (environment.get("SUPABASE_STORAGE_URL") or "").rstrip("/") or None
    if bytes_only_url and not _is_origin(bytes_only_url):
        raise ConfigError(
            "SUPABASE_STORAGE_URL is not a plain http(s) URL. On hosted Supabase it is "
            "https://<project ref>.storage.supabase.co; leave it empty to send bytes to SUPABASE_URL."
        )
    key = environment.get("SUPABASE_PUBLISHABLE_KEY") or ""
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise ConfigError(
            "SUPABASE_PUBLISHABLE_KEY is missing or malformed: see Project Settings > API Keys (sb_publishable_…)."
        )
    if key.startswith("sb_secret_") or _claims(key).get("role") == "service_role":
        raise ConfigError(
            "SUPABASE_PUBLISHABLE_KEY contains a secret key, which Assetdock does not need. Use sb_publishable_…."
        )
    return Connection(supabase_url=url, publishable_key=key, bytes_only_url=bytes_only_url)


def _is_origin(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.path and not parts.query


def _claims(token: str) -> dict[str, Any]:
    """The unverified claims of a token, used only to detect a wrong kind of token."""
    import jwt  # noqa: PLC0415 - slow to import, and needed only at startup

    try:
        return dict(jwt.decode(token, options={"verify_signature": False}))
    except jwt.InvalidTokenError:
        return {}


def _port(text: str, name: str = "PORT") -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ConfigError(f"{name} is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def _seconds(environment: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) not in allowed:
        raise ConfigError(f"{name} is {text!r}; it must be a number of seconds from {allowed[0]} to {allowed[-1]}.")
    return int(text)


def _rate(text: str) -> int | None:
    if text == "off":
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise ConfigError(
            f"ASSETDOCK_RATE_LIMIT is {text!r}; it must be a number of requests per minute and owner, or off."
        )
    return int(text)


def _origins(text: str) -> list[str]:
    origins = [origin.strip().rstrip("/") for origin in text.split(",") if origin.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        if origin != "*" and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path):
            raise ConfigError(
                f"ASSETDOCK_CORS_ORIGINS contains {origin!r}; it must list origins such as https://app.example.com."
            )
    return origins


def _log_level(environment: Mapping[str, str]) -> str:
    level = (environment.get("LOG_LEVEL") or "info").lower()
    if level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"LOG_LEVEL is {json.dumps(level)}; it must be debug, info, warning or error.")
    return level
