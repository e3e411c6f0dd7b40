"""A Redis that speaks TLS, where there is all that it takes."""

from __future__ import annotations

import os
import shutil
import subprocess

from twisted.trial.unittest import SkipTest, TestCase

from tests.wire import free_port
from txthoonk.embedded import EmbeddedRedis, find_redis_server
from txthoonk.errors import ServerFailed

__all__ = ["make_certificate", "tls_server"]


def make_certificate(case: TestCase) -> tuple[str, str]:
    """Make a certificate for ``localhost``.

    :returns: the paths of the certificate and of its key.
    :raises SkipTest: if there is no TLS in Twisted, or no openssl.
    """
    try:
        import twisted.internet.ssl  # noqa: F401  # is it there?
    except ImportError:
        raise SkipTest("pyOpenSSL is not installed") from None
    openssl = shutil.which("openssl")
    if openssl is None:
        raise SkipTest("there is no openssl program to make a certificate with")
    certificate, key = os.path.abspath(case.mktemp()), os.path.abspath(case.mktemp())
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def tls_server(case: TestCase) -> tuple[EmbeddedRedis, int, str]:
    """Start one for a test.

    :returns: the server, its port, and the path of its certificate, which is for ``localhost``.
    :raises SkipTest: if there is no TLS in Twisted, no openssl, or no Redis with TLS.
    """
    certificate, key = make_certificate(case)
    system = shutil.which("redis-server", path=os.defpath)
    for program in filter(None, (find_redis_server(), system)):
        port = free_port()
        server = EmbeddedRedis(
            executable=program,
            config={
                "tls-port": str(port),
                "tls-cert-file": certificate,
                "tls-key-file": key,
                "tls-auth-clients": "no",
            },
        )
        case.addCleanup(server.stop)
        try:
            await server.start()
        except ServerFailed:
            continue
        return server, port, certificate
    raise SkipTest("no redis-server here was built with TLS")
