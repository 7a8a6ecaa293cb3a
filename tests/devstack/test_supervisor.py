"""The commands `python -m devstack up` and `reset`."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from devstack import settings_file
from devstack.binaries import PROJECT
from devstack.child import started_at
from devstack.ports import Ports
from tests.devstack.conftest import Up
from tests.polling import eventually


def wait_until_running(process: subprocess.Popen[str]) -> str:
    """Waits for the printed command, and returns the output up to it."""
    output = []
    assert process.stdout is not None
    for line in process.stdout:
        output.append(line)
        if "curl" in line:
            return "".join(output)
    assert process.stderr is not None
    raise AssertionError(f"{''.join(output)}{process.stderr.read()}")


def children(state: Path) -> dict[str, int]:
    return {path.stem: int(path.read_text().split()[0]) for path in state.glob("logs/*.pid")}


def all_stopped(pids: dict[str, int]) -> bool:
    return not any(started_at(pid) for pid in pids.values())


def test_up_prints_a_working_command_and_stops_all_processes(up: Up, state: Path) -> None:
    process = up("--no-service")
    output = wait_until_running(process)
    running = children(state)
    printed_command = subprocess.run(output.splitlines()[-1], shell=True, capture_output=True, text=True, check=True)  # noqa: S602

    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 0
    assert running.keys() == {"postgres", "postgrest", "functions", "gateway"}
    assert json.loads(printed_command.stdout)["external"]["email"] is True
    assert all_stopped(running)
    assert children(state) == {}


def test_settings_file_is_private_sourceable_and_stable(up: Up, state: Path) -> None:
    settings = []
    for _ in range(2):
        process = up("--no-service")
        wait_until_running(process)
        settings.append(settings_file.read(state / "stack.env"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

    assert (state / "stack.env").stat().st_mode & 0o777 == 0o600
    names = {"SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SIGNING_KEY", "SUPABASE_WORKER_TOKEN"}
    assert settings[0].keys() == names | {"DB_URL", "DEMO_EMAIL", "DEMO_PASSWORD"}
    for name in ("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SIGNING_KEY", "DEMO_EMAIL", "DEMO_PASSWORD"):
        assert settings[0][name] == settings[1][name]
    sourced = subprocess.run(
        ["bash", "-c", f'set -a; . {state}/stack.env; printf %s "$SUPABASE_SIGNING_KEY"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(sourced.stdout) == json.loads(settings[0]["SUPABASE_SIGNING_KEY"])


def test_port_in_use_is_reported_in_one_line_before_any_start(up: Up, state: Path, ports: Ports) -> None:
    with socket.create_server(("127.0.0.1", ports.postgrest)):
        process = up("--no-service")
        out, err = process.communicate(timeout=240)

    assert process.returncode == 1
    assert out == ""
    assert len(err.splitlines()) == 1
    assert str(ports.postgrest) in err
    assert "--postgrest-port" in err
    assert children(state) == {}


def test_second_up_and_reset_are_refused_while_a_stack_runs(up: Up, state: Path) -> None:
    wait_until_running(up("--no-service"))

    for command in (["up", "--no-service"], ["reset"]):
        second = subprocess.run(
            [sys.executable, "-m", "devstack", *command, "--state", str(state)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert second.returncode == 1
        assert "A stack is running in" in second.stderr
    assert (state / "keys.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_children_stop_when_the_supervisor_is_killed(up: Up, state: Path) -> None:
    process = up("--no-service")
    wait_until_running(process)
    running = children(state)

    process.kill()

    eventually(lambda: all_stopped(running))


def test_next_start_stops_orphans_of_a_killed_supervisor(up: Up, state: Path) -> None:
    first = up("--no-service")
    wait_until_running(first)
    first.kill()
    first.wait()
    with subprocess.Popen(["sleep", "600"], process_group=0) as leftover:
        (state / "logs/gateway.pid").write_text(f"{leftover.pid} {started_at(leftover.pid)}\n")

        wait_until_running(up("--no-service"))

        assert leftover.wait(10) == -signal.SIGTERM


def test_next_start_does_not_stop_another_process_with_the_same_pid(up: Up, state: Path) -> None:
    (state / "logs").mkdir(parents=True)
    with subprocess.Popen(["sleep", "600"], process_group=0) as bystander:
        (state / "logs/gateway.pid").write_text(f"{bystander.pid} another-start-time\n")
        try:
            wait_until_running(up("--no-service"))
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_restarts_a_killed_child(up: Up, state: Path, ports: Ports) -> None:
    wait_until_running(up("--no-service"))
    headers = {"apikey": settings_file.read(state / "stack.env")["SUPABASE_PUBLISHABLE_KEY"]}

    def all_servers_respond() -> bool:
        urls = [f"http://127.0.0.1:{ports.gateway}{path}" for path in ("/rest/v1/", "/storage/v1/bucket")]
        function = httpx.options(f"http://127.0.0.1:{ports.gateway}/functions/v1/upload-url", trust_env=False)
        responses = [httpx.get(url, headers=headers, trust_env=False).status_code for url in urls]
        return [*responses, function.status_code] == [200, 200, 204]

    for name in ("gateway", "postgrest", "postgres", "functions"):
        before = children(state)
        os.kill(before[name], signal.SIGKILL)
        eventually(lambda name=name, before=before: children(state)[name] != before[name])  # type: ignore[misc]
        eventually(all_servers_respond)


def test_reset_deletes_only_a_state_directory(up: Up, state: Path) -> None:
    def reset() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "devstack", "reset", "--state", str(state)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    process = up("--no-service")
    wait_until_running(process)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    assert reset().returncode == 0
    assert not state.exists()
    assert reset().returncode == 0

    state.mkdir()
    (state / "thesis.txt").write_text("years of work")
    assert reset().returncode == 1
    assert (state / "thesis.txt").exists()


FAKE_SERVICE = """
import http.server, json, os, signal, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def respond(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        known = self.path == "/healthz" or self.headers["authorization"] == "Bearer rk_live_fake"
        self.respond(200 if known else 401, {})

    def do_POST(self):
        assert json.loads(os.environ["SUPABASE_SIGNING_KEY"])["d"]
        self.respond(201, {"plaintext": "rk_live_fake"})

    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if sys.argv[1] == "serve":
    http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
elif "SUPABASE_SIGNING_KEY" in os.environ or not os.environ["SUPABASE_WORKER_TOKEN"]:
    sys.exit("the worker must have a token and no signing key")
elif os.path.exists("worker-crashes"):
    sys.exit("worker: cannot go on")
time.sleep(600)
"""


@pytest.fixture
def with_fake_service(tmp_path: Path) -> tuple[str, ...]:
    """The command with a small fake service."""
    tmp_path.joinpath("assetdock_server.py").write_text(FAKE_SERVICE)
    program = f"""
        import sys
        from pathlib import Path
        from devstack import service
        service.PROJECT = Path({str(tmp_path)!r})
        from devstack.__main__ import main
        sys.exit(main())
    """
    return ("-c", textwrap.dedent(program))


def test_up_starts_the_service_and_its_worker(up: Up, state: Path, with_fake_service: tuple[str, ...]) -> None:
    port = Ports.free().gateway
    process = up("--service-port", str(port), program=with_fake_service)
    output = wait_until_running(process)
    settings = settings_file.read(state / "stack.env")
    running = children(state)
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert running.keys() == {"postgres", "postgrest", "functions", "gateway", "service", "worker"}
    assert settings["API_URL"] == f"http://127.0.0.1:{port}"
    assert settings["DEMO_API_KEY"] == "rk_live_fake"
    assert f"curl -s http://127.0.0.1:{port}/api/v1/assets/upload-url" in output
    assert all_stopped(running)


def test_crash_loop_of_the_worker_stops_the_stack_with_its_last_output(
    up: Up, state: Path, tmp_path: Path, with_fake_service: tuple[str, ...]
) -> None:
    process = up("--service-port", str(Ports.free().gateway), program=with_fake_service)
    wait_until_running(process)
    running = children(state)
    (tmp_path / "worker-crashes").touch()
    os.kill(running["worker"], signal.SIGKILL)
    _, err = process.communicate(timeout=240)

    assert process.returncode == 1
    assert "worker: cannot go on" in err
    assert "worker keeps exiting" in err
    assert all_stopped(running)
