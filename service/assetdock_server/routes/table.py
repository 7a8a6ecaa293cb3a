"""Every URL of the service, with the scope that its caller needs.

The caller is identified here, before any handler runs. The database enforces the scopes; the table documents them.
"""

from collections.abc import Iterable
from typing import Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from assetdock_server.routes import api_keys, assets, documents, operations, page, uploads, webhook_endpoints
from assetdock_server.routes.descriptions import api_keys as of_keys
from assetdock_server.routes.descriptions import assets as of_assets
from assetdock_server.routes.descriptions import documents as of_documents
from assetdock_server.routes.descriptions import operations as of_operations
from assetdock_server.routes.descriptions import page as of_page
from assetdock_server.routes.descriptions import uploads as of_uploads
from assetdock_server.routes.descriptions import webhook_endpoints as of_hooks
from assetdock_server.routes.entry import Entry, Handler
from assetdock_server.routes.parsing import buffer_body
from assetdock_server.routes.resources import resources

_HOOKS: Final = webhook_endpoints.BASE
_HOOK: Final = f"{_HOOKS}/{{webhook_endpoint_id}}"

# fmt: off
TABLE: Final[tuple[Entry, ...]] = (
    Entry("POST", "/api/v1/assets/upload-url", uploads.create_upload_url, "assets:write", of_uploads.CREATE_UPLOAD_URL),
    Entry("POST", "/api/v1/assets/{asset_id}/upload-url", uploads.renew_upload_url, "assets:write",
          of_uploads.RENEW_UPLOAD_URL),
    Entry("POST", "/api/v1/assets/{asset_id}/confirm", uploads.confirm, "assets:write", of_uploads.CONFIRM_UPLOAD),
    Entry("GET", "/api/v1/assets", assets.list_assets, "assets:read", of_assets.LIST_ASSETS),
    Entry("GET", "/api/v1/assets/{asset_id}", assets.get_asset, "assets:read", of_assets.GET_ASSET),
    Entry("GET", "/api/v1/assets/{asset_id}/events", assets.list_events, "assets:read", of_assets.LIST_EVENTS),
    Entry("DELETE", "/api/v1/assets/{asset_id}", assets.delete_asset, "assets:write", of_assets.DELETE_ASSET),
    Entry("POST", "/api/v1/assets/{asset_id}/restore", assets.restore_asset, "assets:write", of_assets.RESTORE_ASSET),
    Entry("POST", "/api/v1/api-keys", api_keys.create_api_key, "api_keys:write", of_keys.CREATE_API_KEY),
    Entry("GET", "/api/v1/api-keys", api_keys.list_api_keys, "api_keys:read", of_keys.LIST_API_KEYS),
    Entry("POST", "/api/v1/api-keys/{api_key_id}/rotate", api_keys.rotate_api_key, "api_keys:write",
          of_keys.ROTATE_API_KEY),
    Entry("DELETE", "/api/v1/api-keys/{api_key_id}", api_keys.revoke_api_key, "api_keys:write", of_keys.REVOKE_API_KEY),
    Entry("POST", _HOOKS, webhook_endpoints.create_webhook_endpoint, "webhooks:write", of_hooks.CREATE),
    Entry("GET", _HOOKS, webhook_endpoints.list_webhook_endpoints, "webhooks:read", of_hooks.LIST),
    Entry("GET", _HOOK, webhook_endpoints.get_webhook_endpoint, "webhooks:read", of_hooks.GET),
    Entry("DELETE", _HOOK, webhook_endpoints.delete_webhook_endpoint, "webhooks:write", of_hooks.DELETE),
    Entry("POST", f"{_HOOK}/rotate-secret", webhook_endpoints.rotate_webhook_secret, "webhooks:write",
          of_hooks.ROTATE_SECRET),
    Entry("POST", f"{_HOOK}/test", webhook_endpoints.test_webhook_endpoint, "webhooks:write", of_hooks.TEST),
    Entry("GET", f"{_HOOK}/deliveries", webhook_endpoints.list_webhook_deliveries, "webhooks:read",
          of_hooks.LIST_DELIVERIES),
    Entry("POST", f"{_HOOK}/deliveries/{{delivery_id}}/replay", webhook_endpoints.replay_webhook_delivery,
          "webhooks:write", of_hooks.REPLAY),
    Entry("GET", "/", page.index, "public", of_page.INDEX),
    Entry("GET", "/web/{name}", page.file, "public", of_page.FILE),
    Entry("GET", "/healthz", operations.healthz, "public", of_operations.HEALTHZ),
    Entry("GET", "/readyz", operations.readyz, "public", of_operations.READYZ),
    Entry("GET", "/metrics", operations.metrics, "public", of_operations.METRICS),
    Entry("GET", "/openapi.json", documents.get_document, "public", of_documents.OPENAPI),
    Entry("GET", "/docs", documents.get_document, "public", of_documents.REFERENCE),
    Entry("GET", "/docs/assets/{file}", documents.get_document, "public", of_documents.REFERENCE_FILE),
    Entry("GET", "/docs/{page}.md", documents.get_document, "public", of_documents.PAGE),
    Entry("GET", "/llms.txt", documents.get_document, "public", of_documents.LLMS),
    Entry("GET", "/llms-full.txt", documents.get_document, "public", of_documents.LLMS_FULL),
)
# fmt: on


class _Segment(Convertor[str]):
    # /assets/upload-url is a separate path, so that GET responds with 405 there, not with 404 for an asset.
    regex = "(?!upload-url(?:/|$))[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def routes(table: Iterable[Entry] = TABLE) -> list[Route]:
    """The routes for Starlette: one per path, so that a 405 response lists all methods of the path."""
    register_url_convertor("segment", _Segment())
    by_path: dict[str, dict[str, Entry]] = {}
    for entry in table:
        by_path.setdefault(entry.path, {})[entry.method] = entry
    return [
        Route(path.replace("_id}", "_id:segment}"), _dispatch(path, entries), methods=list(entries))
        for path, entries in by_path.items()
    ]


def _dispatch(path: str, entries: dict[str, Entry]) -> Handler:
    async def handle(request: Request) -> Response:
        request.state.route = path
        entry = entries["GET" if request.method == "HEAD" else request.method]
        if entry.access == "public":
            await buffer_body(request)
            return await entry.handler(request)
        # Done only here, so that no handler can forget it: private handlers need the Principal as an argument.
        principal = await resources(request).identify(request)
        await buffer_body(request)
        return await entry.handler(request, principal)

    return handle
