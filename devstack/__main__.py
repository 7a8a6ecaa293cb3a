"""``python -m devstack up``, ``demo`` and ``reset``."""

import argparse
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from devstack import main_job
from devstack.errors import StackError
from devstack.ports import Ports
from devstack.postgres_home import refuge
from devstack.stack import Stack, end_leftovers, lock
from devstack.supervisor import Supervisor

SERVICE_PORT = 8000
PORTS = asdict(Ports.default())


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "reset":
            return reset(options.state)
        if options.command == "demo":
            return main_job.show(options.state.absolute(), _port_options(options))
        return up(options)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


def up(options: argparse.Namespace) -> int:
    """Runs the stack in the foreground. 0 when it was stopped, 1 when it could not go on."""
    ports = Ports(**{name: getattr(options, f"{name}_port") for name in PORTS})
    stack = Stack(options.state, ports, default_grants=options.default_grants)
    service_port = options.service_port if options.service else None
    return Supervisor(stack, service_port=service_port).run()


def reset(state: Path) -> int:
    """Removes the state directory, and what was put elsewhere for it. Raises StackError while a stack runs
    in it.
    """
    state = state.absolute()
    if not state.exists():
        print(f"There is nothing at {state}.")
        return 0
    if not (state / "keys.json").exists():
        raise StackError(f"{state} does not look like a stack's state (it has no keys.json): nothing was removed.")
    with lock(state):
        end_leftovers(state)
        shutil.rmtree(refuge(state), ignore_errors=True)
        shutil.rmtree(state)
    print(f"Removed {state}.")
    return 0


def _port_options(options: argparse.Namespace) -> list[str]:
    """The ports as options again, for the `up` that a demo starts."""
    return [f"--{name.replace('_', '-')}-port={getattr(options, f'{name}_port')}" for name in ("service", *PORTS)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up_command = commands.add_parser("up", help="start everything and keep it running")
    reset_command = commands.add_parser("reset", help="throw the database, the bytes and the keys away")
    demo_command = commands.add_parser("demo", help="show the main job, on a stack of its own if none is up")
    for command in (up_command, reset_command, demo_command):
        command.add_argument("--state", type=Path, default=Path(".local"), help="where it keeps everything")
    up_command.add_argument(
        "--no-service", dest="service", action="store_false", help="only Supabase, not the service on it"
    )
    for command in (up_command, demo_command):
        for name, port in {"service": SERVICE_PORT, **PORTS}.items():
            command.add_argument(f"--{name.replace('_', '-')}-port", type=int, default=port)
    up_command.add_argument(
        "--default-grants",
        choices=("explicit", "legacy"),
        default="explicit",
        help="what `public` gives to the API roles by itself; decided when the database is created",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
