"""The measured routes of the service, the calls of their floors, and the endpoint of the peers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.serving.load import Request, Target
from bench.serving.testbed import Server, Testbed

PAYLOAD = {"type": "audio", "content_type": "audio/mpeg"}
API = "/api/v1/assets"
CONTENT_PROFILE = ("Content-Profile", "assetdock")


@dataclass(frozen=True)
class Route:
    """A route of the service, and the calls of its floor: those that every implementation has to make."""

    name: str
    ours: Target
    floor: tuple[Target, ...]


@dataclass(frozen=True)
class Targets:
    """All measured targets. The first two routes are upload-url by key and by session."""

    routes: tuple[Route, ...]
    peers: tuple[Target, ...]

    @classmethod
    def of(cls, testbed: Testbed) -> "Targets":
        """Writes the request files of all targets."""
        return _Writer(testbed).targets()


class _Writer:
    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        # Different assets, so that no request is repeated immediately.
        self._assets = [owner.assets[number % len(owner.assets)] for number, owner in enumerate(testbed.owners)]

    def targets(self) -> Targets:
        owners, body = self._testbed.owners, json.dumps(PAYLOAD)
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
                    (self._function("create_upload by key", "create_upload", minted, PAYLOAD), sign_upload, bare_post),
                ),
                Route(
                    "POST /assets/upload-url, by session",
                    self._ours("upload-url by session", "POST", f"{API}/upload-url", sessions, body),
                    (
                        self._function("create_upload by session", "create_upload", sessions, PAYLOAD),
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
                self._peer("Fastify + supabase-js", self._testbed.fastify),
                self._peer("FastAPI + supabase-py", self._testbed.fastapi),
            ),
        )

    def _ours(self, name: str, method: str, path: str, tokens: Sequence[str], body: str = "") -> Target:
        server = self._testbed.service
        requests = [
            Request(method, path.format(asset), token, body)
            for token, asset in zip(tokens, self._assets, strict=True)
        ]  # fmt: skip
        return Target.of(self._testbed.scratch, name, server.url, requests, pid=server.pid)

    def _function(
        self, name: str, function: str, tokens: Sequence[str], arguments: Mapping[str, object] | None = None
    ) -> Target:
        requests = [
            Request("POST", f"/rpc/{function}", token, json.dumps(arguments or {"asset_id": asset}))
            for token, asset in zip(tokens, self._assets, strict=True)
        ]
        return Target.of(self._testbed.scratch, name, self._testbed.postgrest_url, requests, *CONTENT_PROFILE)

    def _storage(self, name: str, path: str, body: str) -> Target:
        requests = [
            Request("POST", f"/storage/v1/object{path}/assets/{asset}", owner.minted, body)
            for owner, asset in zip(self._testbed.owners, self._assets, strict=True)
        ]
        return Target.of(self._testbed.scratch, name, self._testbed.upstream_url, requests)

    def _bare(self, method: str, body: str) -> Target:
        requests = [Request(method, "/", "x" * 54, body)]
        return Target.of(self._testbed.scratch, f"bare {method}", self._testbed.bare.url, requests)

    def _peer(self, name: str, server: Server) -> Target:
        requests = [
            Request("POST", f"{API}/upload-url", owner.session, json.dumps(PAYLOAD)) for owner in self._testbed.owners
        ]
        return Target.of(self._testbed.scratch, name, server.url, requests, pid=server.pid)
