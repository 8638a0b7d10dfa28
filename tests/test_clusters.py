"""Dask clusters that are real, and what becomes of a run on one when something is wrong with it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from clusters import address_in, scheduler, wait_for_workers, workers_of
from distributed import Security

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


def test_schedulers_and_workers_of_these_tests_listen_on_the_loopback_alone(cluster):
    port = int(address_in(cluster).rpartition(":")[2])
    everyone = psutil.Process().children(recursive=True)
    listening = {
        each.laddr for process in everyone for each in process.net_connections("inet") if each.status == "LISTEN"
    }
    assert port in {place.port for place in listening}
    assert {place.ip for place in listening} == {"127.0.0.1"}


# --- certificates -----------------------------------------------------------------------------------------------------


def certificate(folder, name):
    """Files of a certificate that vouches for itself, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    files = folder / f"{name}.crt", folder / f"{name}.key"
    key = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run(["openssl", *key, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)  # noqa: S607
    return files


def tls(authority, own, *roles):
    """Environment of a process that trusts an authority and shows a certificate of its own."""
    settings = {"CA_FILE": authority[0]}
    for role in roles:
        settings |= {f"{role}__CERT": own[0], f"{role}__KEY": own[1]}
    return {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(value) for name, value in settings.items()}


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """Scheduler file of a scheduler that speaks only TLS, with two workers, and the certificate of all three."""
    folder = tmp_path_factory.mktemp("tls")
    own = certificate(folder, "dask")
    servers = tls(own, own, "SCHEDULER", "WORKER") | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    with (
        scheduler(folder, "--protocol", "tls", **servers) as (_, file),
        workers_of(file, folder, "--protocol", "tls", **servers),
    ):
        mine = Security(tls_ca_file=str(own[0]), tls_client_cert=str(own[0]), tls_client_key=str(own[1]))
        wait_for_workers(file, 2, security=mine)
        yield file, own


def test_a_cluster_that_speaks_tls_makes_the_same_store(encrypted, varied, varied_store, tmp_path, files_of):
    file, own = encrypted
    assert address_in(file).startswith("tls://127.0.0.1:")
    ended = weights(varied, tmp_path / "out.zarr", file, **tls(own, own, "CLIENT"))
    assert ended.returncode == 0, ended.stderr
    assert [line for line in said(ended) if "scheduler" in line] == []
    assert files_of(tmp_path / "out.zarr") == files_of(varied_store)


def refused(ended, store):
    """What is said of a scheduler that cannot be used."""
    (message,) = said(ended)
    assert (ended.returncode, ended.stdout, store.exists()) == (2, "", False)
    return message


def test_tls_without_certificates_is_refused_in_one_line_that_names_the_settings(encrypted, tmp_path):
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0]), tmp_path / "out.zarr")
    assert "wants certificates: set distributed.comm.tls.ca-file, .client.cert and .client.key" in message


def test_a_certificate_that_is_not_there_is_named(encrypted, tmp_path):
    settings = tls(("nowhere.crt",), encrypted[1], "CLIENT")
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0], **settings), tmp_path / "out.zarr")
    assert re.search(r"certificates nowhere\.crt, .*dask\.crt, .*dask\.key cannot be read: .*No such file", message)


def test_a_certificate_that_the_scheduler_does_not_trust_is_refused_in_one_line(encrypted, tmp_path):
    settings = tls(encrypted[1], certificate(tmp_path, "stranger"), "CLIENT")
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0], **settings), tmp_path / "out.zarr")
    assert "cannot be reached" in message


def test_a_scheduler_that_is_not_the_one_of_our_certificate_is_refused_in_one_line(encrypted, tmp_path):
    stranger = certificate(tmp_path, "stranger")
    settings = tls(stranger, stranger, "CLIENT")
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0], **settings), tmp_path / "out.zarr")
    assert "TLS certificate does not match" in message


def test_an_unencrypted_address_is_refused_where_the_settings_want_encryption(cluster, tmp_path):
    settings = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    message = refused(weights(COINS, tmp_path / "out.zarr", cluster, **settings), tmp_path / "out.zarr")
    assert "distributed.comm.require-encryption is set in Dask's configuration; use a tls:// address" in message
