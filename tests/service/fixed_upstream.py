"""One process in place of PostgREST and Storage, with fixed responses. It prints its port."""

import asyncio

ASSET = (
    '{"id":"01a20bc8-9fa1-7d85-8938-770126c645ee","type":"audio","state":"pending_upload","size_bytes":null,'
    '"content_type":"audio/mpeg","duration_seconds":null,"created_at":"2026-11-24T04:20:27.169000Z","filename":null,'
    '"metadata":{},"source_asset_id":null,"error_code":null,"error_message":null,"media":null,"ready_at":null,'
    '"deleted_at":null}'
)
RESPONSES = {
    b"/rest/v1/rpc/resolve_api_key": '{"api_key_id":"01a20bc8-9fa1-7d85-8938-770126c645ee",'
    '"owner_id":"01a20bc8-9fa1-4d85-8938-770126c645ee","prefix":"rk_live_aB3xK9mN"}',
    b"/rest/v1/rpc/create_upload": f'{{"asset":{ASSET},"bucket":"assets",'
    '"object_name":"01a20bc8-9fa1-7d85-8938-770126c645ee","upload_expires_at":"2026-11-24T04:35:27.169000Z"}',
    b"/rest/v1/rpc/get_asset": ASSET,
    b"/storage/v1/object/upload/sign/assets/01a20bc8-9fa1-7d85-8938-770126c645ee": '{"url":"/object/upload/sign/assets/'
    '01a20bc8-9fa1-7d85-8938-770126c645ee?token=e30.eyJleHAiOiAxNzk1NjQ0NzMwfQ.x"}',
}


class FixedResponses(asyncio.Protocol):
    """Responds according to the path. Small requests on loopback arrive in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        body = RESPONSES[data.split(b" ", 2)[1]].encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )


async def main() -> None:
    """Serves until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(FixedResponses, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
