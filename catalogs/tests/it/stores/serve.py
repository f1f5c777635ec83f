"""Servers for the tests of stores. The first line of output is JSON that says where; the end of input ends it.

    serve.py s3 LOG                an S3 server with authentication turned on; each request becomes a line of LOG
    serve.py https FOLDER PEM LOG  the files of FOLDER over https, with the certificate and the key in PEM

Over https the first folder of a path chooses how the server behaves; see `Files`.
"""

import email.utils
import json
import logging
import os
import ssl
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

READ = ["s3:GetObject"]
LIST = ["s3:ListBucket"]
ALL = ["s3:*"]
USERS = {"admin": ALL, "reader": READ + LIST, "single": READ, "nobody": ["s3:ListAllMyBuckets"]}


def s3(log):
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "1000000"
    import boto3
    from moto import settings
    from moto.core.responses import ActionAuthenticatorMixin
    from moto.server import ThreadedMotoServer

    requests = logging.getLogger("werkzeug")
    requests.setLevel(logging.INFO)
    requests.propagate = False
    requests.addHandler(logging.FileHandler(log))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    known = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=endpoint, **known)
    keys = {}
    for user, actions in USERS.items():
        iam.create_user(UserName=user)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        keys[user] = {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    boto3.client("s3", endpoint_url=endpoint, **known).create_bucket(Bucket="lake")
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    ActionAuthenticatorMixin.request_count = 0
    say(port=port, keys=keys)
    return server.stop


class Files(BaseHTTPRequestHandler):
    """GET and HEAD of files, with parts. The first folder of a path may be `whole` (no parts), `get` (no HEAD),
    `endless` (no length), `moved` (a redirect), `plain` (a redirect to http://), `tagless` (no ETag), `signed` (a query
    must be there), `fails` (the first two answers are 503)."""

    protocol_version = "HTTP/1.1"
    failed = {}

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        url = urllib.parse.urlsplit(self.path)
        mode, _, name = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        if mode == "moved" or mode == "plain":
            scheme = "https" if mode == "moved" else "http"
            at = f"{scheme}://localhost:{self.server.server_port}/files/{name}"
            return self.finish_with(302, {"Location": at, "Content-Length": "0"})
        if mode == "fails" and self.failed.setdefault(name, 0) < 2:
            self.failed[name] += 1
            return self.finish_with(503, {"Content-Length": "0"})
        if mode == "signed" and url.query != "sig=hunter2":
            return self.finish_with(403, {"Content-Length": "0"})
        if mode == "get" and not with_body:
            return self.finish_with(405, {"Content-Length": "0"})
        path = os.path.join(self.server.folder, name)
        if not os.path.isfile(path):
            return self.finish_with(404, {"Content-Length": "0"})
        with open(path, "rb") as file:
            body = file.read()
        headers = {"Last-Modified": email.utils.formatdate(os.stat(path).st_mtime, usegmt=True)}
        tag = f'"{hash(body) & 0xFFFFFFFF:x}"'
        if mode not in ("tagless", "whole"):
            headers["ETag"] = tag
            if self.headers.get("If-Match", tag) != tag:
                return self.finish_with(412, {"Content-Length": "0"})
        if mode == "endless":
            headers["Connection"] = "close"
            return self.finish_with(200, headers, body if with_body else b"")
        status, asked = 200, self.headers.get("Range", "")
        if asked.startswith("bytes=") and mode != "whole":
            first, last = asked[len("bytes=") :].split("-")
            last = min(int(last), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            status, body = 206, body[int(first) : last + 1]
        headers["Content-Length"] = str(len(body))
        self.finish_with(status, headers, body if with_body else b"")

    def finish_with(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        with open(self.server.log, "a", encoding="utf-8") as log:
            log.write(f'"{self.requestline}" {int(code)}\n')


def https(folder, pem, log):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.folder, server.log = folder, log
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say(port=server.server_port)
    return server.shutdown


def say(**what):
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    stop = {"s3": s3, "https": https}[sys.argv[1]](*sys.argv[2:])
    sys.stdin.read()
    stop()
