"""What is asked of the service, the parts that its floor consists of, and the peers' same endpoint."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.serving.load import Request, Target
from bench.serving.site import Served, Site

WISH = {"type": "audio", "content_type": "audio/mpeg"}
API = "/api/v1/assets"
CONTENT_PROFILE = ("Content-Profile", "assetdock")


@dataclass(frozen=True)
class Route:
    """A route of ours and the parts of its floor: what nobody could do it without."""

    name: str
    ours: Target
    floor: tuple[Target, ...]


@dataclass(frozen=True)
class Targets:
    """All that is measured. The first two routes are upload-url by key and by session."""

    routes: tuple[Route, ...]
    peers: tuple[Target, ...]

    @classmethod
    def of(cls, where: Site) -> "Targets":
        """Writes down the requests of each."""
        return _Writer(where).targets()


class _Writer:
    def __init__(self, where: Site) -> None:
        self._where = where
        # Another asset for each owner, so that nothing is asked for twice in a row.
        self._assets = [owner.assets[number % len(owner.assets)] for number, owner in enumerate(where.owners)]

    def targets(self) -> Targets:
        owners, body = self._where.owners, json.dumps(WISH)
        keys, sessions = [owner.key for owner in owners], [owner.session for owner in owners]
        minted = [owner.minted for owner in owners]
        sign_upload = self._storage("sign upload", "/upload/sign", "{}")
        sign_download = self._storage("sign download", "/sign", '{"expiresIn": 900}')
        bare_post, bare_get = self._bare("POST", body), self._bare("GET", "")
        return Targets(
            (
                Route(
                    "POST /assets/upload-url, by key",
                    self._ours("upload-url by key", "POST", f"{API}/upload-url", keys, body),
                    (self._function("create_upload by key", "create_upload", minted, WISH), sign_upload, bare_post),
                ),
                Route(
                    "POST /assets/upload-url, by session",
                    self._ours("upload-url by session", "POST", f"{API}/upload-url", sessions, body),
                    (
                        self._function("create_upload by session", "create_upload", sessions, WISH),
                        sign_upload,
                        bare_post,
                    ),
                ),
                Route(
                    "GET /assets/{id}, ready, by key",
                    self._ours("asset by key", "GET", API + "/{}", keys),
                    (self._function("get_asset", "get_asset", minted), sign_download, bare_get),
                ),
                Route(
                    "GET /assets, 20 of 25, by key",
                    self._ours("assets by key", "GET", API, keys),
                    (self._function("list_assets", "list_assets", minted, {"limit": 20}), bare_get),
                ),
                Route(
                    "POST /assets/{id}/confirm, by key",
                    self._ours("confirm by key", "POST", API + "/{}/confirm", keys),
                    (self._function("confirm_upload", "confirm_upload", minted), bare_post),
                ),
            ),
            (
                self._peer("Fastify + supabase-js", self._where.fastify),
                self._peer("FastAPI + supabase-py", self._where.fastapi),
            ),
        )

    def _ours(self, name: str, method: str, path: str, tokens: Sequence[str], body: str = "") -> Target:
        served = self._where.service
        requests = [
            Request(method, path.format(asset), token, body)
            for token, asset in zip(tokens, self._assets, strict=True)
        ]  # fmt: skip
        return Target.of(self._where.scratch, name, served.url, requests, pid=served.pid)

    def _function(
        self, name: str, function: str, tokens: Sequence[str], arguments: Mapping[str, object] | None = None
    ) -> Target:
        requests = [
            Request("POST", f"/rpc/{function}", token, json.dumps(arguments or {"asset_id": asset}))
            for token, asset in zip(tokens, self._assets, strict=True)
        ]
        return Target.of(self._where.scratch, name, self._where.postgrest_url, requests, *CONTENT_PROFILE)

    def _storage(self, name: str, path: str, body: str) -> Target:
        requests = [
            Request("POST", f"/storage/v1/object{path}/assets/{asset}", owner.minted, body)
            for owner, asset in zip(self._where.owners, self._assets, strict=True)
        ]
        return Target.of(self._where.scratch, name, self._where.upstream_url, requests)

    def _bare(self, method: str, body: str) -> Target:
        requests = [Request(method, "/", "x" * 54, body)]
        return Target.of(self._where.scratch, f"bare {method}", self._where.bare.url, requests)

    def _peer(self, name: str, served: Served) -> Target:
        requests = [
            Request("POST", f"{API}/upload-url", owner.session, json.dumps(WISH)) for owner in self._where.owners
        ]
        return Target.of(self._where.scratch, name, served.url, requests, pid=served.pid)
