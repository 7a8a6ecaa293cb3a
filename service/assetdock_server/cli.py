"""The command line: `assetdock-server`, or `python -m assetdock_server`."""

import asyncio
import gc
import os
import sys
from importlib.metadata import version
from pathlib import Path

import click
import uvicorn
import uvloop

from assetdock_server.app import create_app
from assetdock_server.config import ConfigError, service_settings, worker_settings
from assetdock_server.identity.minting import Minter
from assetdock_server.observability import configure_logging
from assetdock_server.protocol import BoundedHttp

DISTRIBUTION = "assetdock-server"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(DISTRIBUTION), prog_name=DISTRIBUTION)
def commands() -> None:
    """Takes audio and video into Supabase.

    `install` adds the database part to a Supabase project. `serve` and `worker` are the two programs to run. Both read
    their settings from the environment; docs/operations.md lists them.
    """


@commands.command(
    epilog="Example: SUPABASE_URL=https://abcdefgh.supabase.co SUPABASE_PUBLISHABLE_KEY=sb_publishable_… "
    "SUPABASE_SIGNING_KEY='{…}' assetdock-server serve"
)
def serve() -> int:
    """Serve HTTP requests on HOST:PORT (default 127.0.0.1:8000)."""
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


@commands.command(epilog="Example: assetdock-server worker --concurrency 4")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    help="Number of concurrent jobs; the default is the number of cores.",
)
def worker(concurrency: int) -> int:
    """Probe uploaded media, send webhooks, purge deleted assets."""
    # Imported here, so that `serve` does not load the worker's modules.
    from assetdock_server.worker.process import run  # noqa: PLC0415

    settings = worker_settings(os.environ)
    configure_logging(settings.log_level)
    return uvloop.run(run(settings, concurrency))


@commands.command(epilog="Example: assetdock-server install --project ~/my-app, then supabase db push")
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=".",
    help="The directory that contains supabase/; the default is the current directory.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def install(project: Path, yes: bool) -> int:
    """Add the migrations, the Edge Function and the settings to a Supabase project.

    Prints the changes and asks before it makes them. A second run adds only what is new.
    """
    from assetdock_server.installation import InstallError, apply, plan  # noqa: PLC0415

    try:
        changes = plan(project)
        if not changes:
            click.echo("Nothing to do: this version is installed.")
            return 0
        for change in changes:
            click.echo(change.summary)
        if not yes and not click.confirm("Make these changes?"):
            return 1
        apply(changes)
    except InstallError as error:
        click.echo(f"assetdock: {error}", err=True)
        return 1
    click.echo("Done. Apply the migrations with `supabase db push`, or `supabase migration up` on a local project.")
    return 0


@commands.command(epilog="Example: assetdock-server reconcile --repair")
@click.option("--repair", is_flag=True, help="Repair the discrepancies that can be repaired.")
def reconcile(repair: bool) -> int:
    """Report discrepancies between the database and Storage.

    The exit code is 1 if there are any.
    """
    from assetdock_server.worker.reconciliation import run  # noqa: PLC0415

    settings = worker_settings(os.environ)
    configure_logging(settings.log_level)
    return asyncio.run(run(settings, repair=repair))


@commands.command(epilog="Example: SUPABASE_WORKER_TOKEN=$(assetdock-server mint-worker-token --days 90)")
@click.option("--days", type=click.IntRange(min=1), default=365, help="Validity in days (default: 365).")
def mint_worker_token(days: int) -> int:
    """Print a token for SUPABASE_WORKER_TOKEN. Needs SUPABASE_SIGNING_KEY."""
    click.echo(Minter(service_settings(os.environ).signing_key).for_worker(days))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 2 for a wrong argument or setting."""
    try:
        status = commands.main(arguments, prog_name=DISTRIBUTION, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except ConfigError as error:
        print(f"assetdock: {error}", file=sys.stderr)
        return 2
    return status if isinstance(status, int) else 0


def run() -> None:
    """The console script: `main` as a process."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's shutdown, during which a thread of pyreqwest 0.15 once aborted the process (SIGABRT).
    os._exit(status)
