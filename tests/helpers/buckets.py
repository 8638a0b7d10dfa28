"""An object store on this machine, over HTTP."""

import http.client
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath

from segprep.paths.bucket import BucketPath
from segprep.store.metadata import INPUT_STAMP

SECRET = "not-to-be-seen-anywhere"  # noqa: S105 - of no account
_SERVE = """
import logging, sys
logging.disable()
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def serving():
    """Environment variables of a server that ends with this context, or with this process."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(process.stdout.readline())}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": "someone",
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1",
            }
        finally:
            process.kill()


@contextmanager
def counted_requests():
    """Requests that reach the server while the environment names this proxy of it: method, path and range of each."""
    requests, server = [], os.environ["AWS_ENDPOINT_URL"]

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            requests.append((self.command, self.path, self.headers.get("Range")))
            connection = http.client.HTTPConnection(server.partition("//")[2])
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "transfer-encoding", "date", "server"}:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815 - names of http.server

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.server_port}"
        try:
            yield requests
        finally:
            os.environ["AWS_ENDPOINT_URL"] = server
            proxy.shutdown()


def make_bucket(name):
    """Create a bucket on the server that the environment names."""
    import boto3  # noqa: PLC0415 - half a second

    boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_bucket(Bucket=name)
    return BucketPath(f"s3://{name}", PurePosixPath())


def upload(folder, place):
    """Copy a folder, or a file, into a bucket."""
    if folder.is_file():
        place.write_bytes(folder.read_bytes())
        return place
    for path in folder.rglob("*"):
        if path.is_file():
            (place / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
    return place


def objects_in(place):
    """Contents of every object below a path by relative name, except input stamps, which are no part of a store."""
    paths = (path for path, _ in place.walk() if not str(path).endswith(INPUT_STAMP))
    return {path.key.relative_to(place.key).as_posix(): path.read_bytes() for path in paths}
