"""TikTok's host on this machine: a proxy for CONNECT that ends TLS and passes the bytes on to the stand-in.

So that consumers run as they are installed, with TikTok's address compiled in: they are told of the proxy and of the
certificate authority by the variables that every HTTP client knows. Any other host is refused, whatever a consumer wants
to report home.
"""

import asyncio
import ssl
import threading
from concurrent.futures import Future
from contextlib import contextmanager

import trustme

HOST = "business-api.tiktok.com"


@contextmanager
def gateway(stand_in, directory):
    """Runs the proxy before the stand-in at (host, port); yields the variables that lead a consumer to it."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(tls)
    certificate = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    started = Future()

    async def run():
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, tls, stand_in), "127.0.0.1", 0)
        started.set_result((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(over.set)))
        await over.wait()

    # Its end cancels the connections that a consumer has left open.
    thread = threading.Thread(target=lambda: asyncio.run(run()), name="gateway", daemon=True)
    thread.start()
    port, stop = started.result()
    try:
        yield {
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
            "https_proxy": f"http://127.0.0.1:{port}",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(certificate),
            "SSL_CERT_FILE": str(certificate),
        }
    finally:
        stop()
        thread.join(10)


async def serve(reader, writer, tls, stand_in):
    try:
        request = await reader.readuntil(b"\r\n\r\n")
        if not request.startswith(f"CONNECT {HOST}:443 ".encode()):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(tls)
        beyond_reader, beyond_writer = await asyncio.open_connection(*stand_in)
        await asyncio.gather(pass_on(reader, beyond_writer), pass_on(beyond_reader, writer))
    except (OSError, asyncio.IncompleteReadError):
        pass  # The consumer has ended, and says why by itself.
    finally:
        writer.close()


async def pass_on(reader, writer):
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
