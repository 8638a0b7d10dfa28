"""Dask clusters that are real, and what becomes of a run on one when something is wrong with it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from clusters import address_in

from segprep import Workers
from segprep.workers import crew, is_exposed

COMMAND = Path(sys.executable).with_name("segprep")
COINS = Path(__file__).parents[1] / "examples" / "coins"
SECONDS = 120
"""How long a command may take before a test gives up; far more than it needs."""


def weights(data, store, scheduler, *options, **environment):
    """The command as it is installed, run to its end on a cluster."""
    return subprocess.run(
        [COMMAND, "weights", data, store, "--scheduler", scheduler, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def said(ended):
    """What stderr says besides progress, without the command's name."""
    lines = [line.removeprefix("segprep: ") for line in ended.stderr.splitlines()]
    return [line for line in lines if not re.fullmatch(r"(scan|write) \d+/\d+ masks", line)]


# --- who can listen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("tcp://192.0.2.1:8786", True),
        ("tcp://[2001:db8::1]:8786", True),
        ("ws://192.0.2.1:8786", True),
        ("tls://192.0.2.1:8786", False),
        ("wss://192.0.2.1:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://127.9.9.9:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
    ],
)
def test_an_address_is_exposed_where_it_is_neither_encrypted_nor_on_this_machine(address, exposed):
    assert is_exposed(address) == exposed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes this address for its own")
def test_a_scheduler_whose_connection_others_could_read_is_one_line_of_warning(cluster, tmp_path):
    exposed = address_in(cluster).replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - to connect to, and it is the loopback
    ended = weights(COINS, tmp_path / "out.zarr", exposed)
    (warning,) = said(ended)
    assert ended.returncode == 0
    assert warning.startswith(
        f"warning: --scheduler {exposed}: is not on this machine, and what is sent there is neither"
    )
    assert "use tls://, or an ssh tunnel" in warning


def test_a_scheduler_on_this_machine_draws_no_warning(cluster, tmp_path):
    ended = weights(COINS, tmp_path / "out.zarr", cluster)
    assert (ended.returncode, said(ended)) == (0, [])


def test_a_run_on_a_cluster_opens_no_port(cluster):
    with crew(Workers(scheduler=str(cluster)), 1):
        mine = psutil.Process().net_connections("inet")
    assert any(each.status == psutil.CONN_ESTABLISHED for each in mine)
    assert [each.laddr for each in mine if each.status == psutil.CONN_LISTEN] == []
