"""The command line: `python -m assetdock_server serve | worker | reconcile | mint-worker-token`."""

import argparse
import asyncio
import gc
import os
import sys

import uvicorn
import uvloop

from assetdock_server.app import create_app
from assetdock_server.config import ConfigError, service_settings, worker_settings
from assetdock_server.identity.minting import Minter
from assetdock_server.observability import configure_logging
from assetdock_server.protocol import BoundedHttp


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 2 for a missing or malformed setting."""
    parser = argparse.ArgumentParser(prog="python -m assetdock_server", description="Assetdock's service and worker.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve HTTP requests on HOST:PORT")
    worker = commands.add_parser("worker", help="probe uploaded media, send webhooks, purge deleted assets")
    worker.add_argument(
        "--concurrency",
        type=_positive,
        default=os.cpu_count() or 1,
        help="number of concurrent jobs (default: the number of cores)",
    )
    reconcile = commands.add_parser(
        "reconcile", help="report discrepancies between the database and Storage; exit code 1 if there are any"
    )
    reconcile.add_argument("--repair", action="store_true", help="repair the discrepancies that can be repaired")
    mint = commands.add_parser("mint-worker-token", help="print a token for SUPABASE_WORKER_TOKEN")
    mint.add_argument("--days", type=_positive, default=365, help="validity in days (default: 365)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "serve":
            return _serve()
        if options.command == "worker":
            return _work(options.concurrency)
        if options.command == "reconcile":
            return _reconcile(repair=options.repair)
        print(Minter(service_settings(os.environ).signing_key).for_worker(options.days))
    except ConfigError as error:
        print(f"assetdock: {error}", file=sys.stderr)
        return 2
    return 0


def _serve() -> int:
    settings = service_settings(os.environ)
    configure_logging(settings.log_level)
    server: uvicorn.Server | None = None
    app = create_app(settings, is_stopping=lambda: server is not None and server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=BoundedHttp,
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
    )
    # The objects that exist now live as long as the process, and reference counting frees those of a request. Without
    # this, the collector would scan them after every few hundred allocations. It still collects reference cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    server.run()
    return 0


def _work(concurrency: int) -> int:
    # Imported here, so that `serve` does not load the worker's modules.
    from assetdock_server.worker.process import run  # noqa: PLC0415

    settings = worker_settings(os.environ)
    configure_logging(settings.log_level)
    return uvloop.run(run(settings, concurrency))


def _reconcile(*, repair: bool) -> int:
    from assetdock_server.worker.reconciliation import run  # noqa: PLC0415

    settings = worker_settings(os.environ)
    configure_logging(settings.log_level)
    return asyncio.run(run(settings, repair=repair))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's shutdown, during which a thread of pyreqwest 0.15 once aborted the process (SIGABRT).
    os._exit(status)
