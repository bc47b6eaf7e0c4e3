"""A real S3 server on loopback, moto's, that counts requests and fails some of them; runs in memory."""

import io
import os
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{0}</Code><Message>{1}</Message></Error>"
FAULTS = {
    "broken": ("500 Internal Server Error", "InternalError", "We encountered an internal error"),
    "refused": ("403 Forbidden", "AccessDenied", "Access Denied"),
    "unknown": ("501 Not Implemented", "NotImplemented", "A header is not implemented"),
}


@dataclass
class Objects:
    """The server.

    Attributes:
        requests: how many there were of each method and key.
        fail: is asked with method, key and some headers; returns the name of a fault, or None.
    """

    fail: object = lambda method, key, headers: None
    requests: Counter = field(default_factory=Counter)
    port: int = 0

    def __call__(self, environ, start_response):
        method, key = environ["REQUEST_METHOD"], environ["PATH_INFO"].lstrip("/")
        self.requests[method, key] += 1
        headers = {
            name: environ[f"HTTP_{name}"] for name in ("RANGE", "IF_NONE_MATCH") if f"HTTP_{name}" in environ
        }
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        fault = self.fail(method, key, headers)
        if len(body) < length:
            fault = "broken"  # its sender was killed
        if fault:
            status, code, message = FAULTS[fault]
            start_response(status, [("Content-Type", "application/xml")])
            return [ERROR.format(code, message).encode()]
        return self._app(environ, start_response)

    @contextmanager
    def served(self):
        """Serve for the block."""
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Silent(WSGIRequestHandler):
            def log(self, *arguments, **options):
                pass

        self._app = DomainDispatcherApplication(create_backend_app)
        server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Silent)
        self.port = server.port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()

    @property
    def variables(self):
        """What a process must have in its environment to reach it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self):
        """Return boto3's, which shares nothing with what grokscope reaches it by."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )

    def names(self, bucket="bucket", prefix=""):
        """Return the keys below."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(each["Key"] for page in pages for each in page.get("Contents", ()))

    def get_folder(self, prefix, folder, bucket="bucket"):
        """Copy what is there into a folder."""
        for key in self.names(bucket, f"{prefix}/"):
            path = folder / key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.client().get_object(Bucket=bucket, Key=key)["Body"].read())

    def put_folder(self, folder, prefix, bucket="bucket"):
        """Copy a folder's files there, as `aws s3 cp --recursive` does."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder).as_posix()}"
                self.client().upload_file(os.fspath(path), bucket, key)


@pytest.fixture(scope="session")
def objects():
    """The server, with a bucket called `bucket`."""
    pytest.importorskip("s3fs", reason="pip install 'grokscope[remote]'")
    pytest.importorskip("moto", reason="pip install 'moto[s3]' flask-cors")
    with Objects().served() as server:
        server.client().create_bucket(Bucket="bucket")
        yield server


@pytest.fixture
def store(objects):
    """The server with an empty bucket, and no faults."""
    objects.fail = lambda method, key, headers: None
    for key in objects.names():
        objects.client().delete_object(Bucket="bucket", Key=key)
    objects.requests.clear()
    yield objects
    objects.fail = lambda method, key, headers: None


@pytest.fixture
def memory():
    """What fsspec keeps in memory, empty."""
    import fsspec

    system = fsspec.filesystem("memory", use_listings_cache=False)
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def copied(memory, trained):
    """The URL of a copy of the trained run."""
    for path in trained.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/shelf/run/{path.relative_to(trained).as_posix()}", path.read_bytes())
    return "memory://shelf/run"
