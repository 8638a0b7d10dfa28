"""Buckets that do not answer, on the command line."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Refusal(BaseHTTPRequestHandler):
    """Answers every request with 403."""

    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_GET  # noqa: N815 - names of http.server

    def log_message(self, *_):
        pass


@pytest.fixture
def _refusing(monkeypatch):
    """Object store that lets nobody in."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        names = {"ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "ALLOW_HTTP": "true", "REGION": "us-east-1"}
        for name, value in {**names, "ACCESS_KEY_ID": "someone", "SECRET_ACCESS_KEY": "-"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield
        server.shutdown()


@pytest.mark.usefixtures("_refusing")
@pytest.mark.parametrize(("words", "code"), [("--images s3://closed/x", 6), ("--roi s3://closed/x", 3)])
def test_a_bucket_that_refuses_access_is_no_bug_in_segprep(words, code, segprep_here, varied, tmp_path):
    ended = segprep_here("weights", varied, tmp_path / "out.zarr", "-j", "1", *words.split())
    assert ended.returncode == code, ended.stderr
    assert "s3://closed/x" in ended.stderr
    assert "bug" not in ended.stderr
