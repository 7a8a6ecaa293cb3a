"""The variables that ffprobe starts with."""

import asyncio

from assetdock_server.media.sandbox.run import Limits, run


def test_environment_is_for_the_program_and_not_for_its_starter(limits: Limits) -> None:
    """setpriv and the shell would each report the library that the loader cannot find."""
    environment = {"LD_PRELOAD": "absent.so"}

    result = asyncio.run(
        run(["/bin/true"], limits=limits, seconds=20, environment=environment, receive=lambda _: None, capacity=0)
    )

    assert result.errors.count(b"absent.so") == 1
