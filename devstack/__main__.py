"""Runs the local Supabase stack and Assetdock on it."""

import argparse
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from devstack import demo
from devstack.errors import StackError
from devstack.ports import Ports
from devstack.postgres_home import fallback_directory
from devstack.stack import Stack, stop_orphans
from devstack.state_directory import lock
from devstack.supervisor import Supervisor

SERVICE_PORT = 8000
PORTS = asdict(Ports.default())


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "reset":
            return reset(options.state)
        if options.command == "demo":
            return demo.run(options.state.absolute(), _port_options(options))
        return up(options)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


def up(options: argparse.Namespace) -> int:
    """Runs the stack in the foreground. Returns 0 when it is stopped, 1 after an error."""
    ports = Ports(**{name: getattr(options, f"{name}_port") for name in PORTS})
    stack = Stack(options.state, ports, default_grants=options.default_grants)
    service_port = options.service_port if options.service else None
    return Supervisor(stack, service_port=service_port).run()


def reset(state: Path) -> int:
    """Removes the state directory and Postgres's fallback directory. Raises StackError while a stack runs."""
    state = state.absolute()
    if not state.exists():
        print(f"Nothing to remove: {state} does not exist.")
        return 0
    if not (state / "keys.json").exists():
        raise StackError(f"Nothing was removed: {state} has no keys.json, so it is not the state directory of a stack.")
    with lock(state):
        stop_orphans(state)
        shutil.rmtree(fallback_directory(state), ignore_errors=True)
        shutil.rmtree(state)
    print(f"Removed {state}.")
    return 0


def _port_options(options: argparse.Namespace) -> list[str]:
    """The ports as options for the command `up` that the demo starts."""
    return [f"--{name.replace('_', '-')}-port={getattr(options, f'{name}_port')}" for name in ("service", *PORTS)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up_command = commands.add_parser("up", help="start the stack and keep it running")
    reset_command = commands.add_parser("reset", help="delete the database, the stored files and the keys")
    demo_command = commands.add_parser("demo", help="upload two files; starts a stack if none is running")
    for command in (up_command, reset_command, demo_command):
        command.add_argument(
            "--state",
            type=Path,
            default=Path(".local"),
            help="the directory of the database, files and keys",
        )
    up_command.add_argument(
        "--no-service", dest="service", action="store_false", help="start Supabase without the service and its worker"
    )
    for command in (up_command, demo_command):
        for name, port in {"service": SERVICE_PORT, **PORTS}.items():
            command.add_argument(f"--{name.replace('_', '-')}-port", type=int, default=port, help=f"default {port}")
    up_command.add_argument(
        "--default-grants",
        choices=("explicit", "legacy"),
        default="explicit",
        help="privileges of the API roles on new objects in the schema public; fixed when the database is created",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
