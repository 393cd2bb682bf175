# SPDX-License-Identifier: Apache-2.0
"""A server whose responses repeat the account and the token of the request, in many spellings."""

from __future__ import annotations

import base64
import html
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from typing_extensions import Self

from airflow_provider_nebula_explorer.emulator.sessions import Sessions


class EchoServer:
    """Listens while it is open. The first part of a path selects the response; as a proxy, it refuses.

    :param password: of the account ``root``.
    """

    def __init__(self, password: str) -> None:
        self._sessions = Sessions("root", password, "both")
        self.tokens: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def login(self, request: BaseHTTPRequestHandler) -> str:
        """Accept a login, and return the cookie."""
        cookie = self._sessions.connect(request.headers["Authorization"], "graphd", 9669, 0)
        self.tokens.add(cookie.partition(";")[0].partition("=")[2])
        return cookie

    def _handler(echo) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.close_connection = True
                _, _, place = self.path.partition("/")  # the target of a request to a proxy begins otherwise
                respond = _RESPONDERS.get(place.partition("/")[0], _refuse_as_proxy)
                respond(echo, self)

            do_GET = do_POST = do_PUT = do_CONNECT = handle_any  # noqa: N815

            def respond(self, status: int, body: str, *headers: str) -> None:
                """Send a response, with headers that need not be valid."""
                raw = body.encode()
                head = [f"HTTP/1.1 {status} {self.responses.get(status, ('Response',))[0]}", *headers]
                head += [f"Content-Length: {len(raw)}", "Connection: close", "", ""]
                self.wfile.write("\r\n".join(head).encode() + raw)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


def _secrets_of(request: BaseHTTPRequestHandler) -> str:
    """Return a request's headers, and the secrets in them, as servers may write them in messages."""
    echoed = [f"{name}: {value}" for name, value in request.headers.items()]
    for value in (request.headers.get("Authorization", ""), request.headers.get("Cookie", "")):
        for part in value.replace("=", ".").replace(" ", ".").split("."):
            try:
                text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
            except ValueError:
                continue
            echoed += [part, text, json.dumps(text), quote(text), html.escape(text), repr(text)]
            echoed += _passwords_in(text)
    return " | ".join(echoed)


def _passwords_in(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError:
        value = text.split(":", 1)
    password = value.get("password", "") if isinstance(value, dict) else str(value[-1])
    go = json.dumps(password, ensure_ascii=False).translate(
        {ord(character): f"\\u{ord(character):04x}" for character in "<&>"}
    )
    return [password, repr(password), json.dumps(password), go, quote(password), html.escape(password)]


def _refusal(message: str, code: int) -> str:
    return json.dumps({"code": code, "message": f"ErrBadRequest::{message}"})


def _echo_login(_: EchoServer, request) -> None:
    request.respond(400, _refusal(_secrets_of(request), 40004000))


def _let_in(respond: Callable) -> Callable:
    def let_in(echo: EchoServer, request) -> None:
        if not request.path.endswith("/connect"):
            return respond(echo, request)
        cookie = echo.login(request)
        return request.respond(200, json.dumps({"code": 0, "data": {}}), f"Set-Cookie: {cookie}")

    return let_in


def _echo_token(_: EchoServer, request) -> None:
    request.respond(500, _refusal(_secrets_of(request), 50004000))


def _echo_in_data(_: EchoServer, request) -> None:
    echoed = _secrets_of(request)
    request.respond(200, json.dumps({"code": 0, "data": {"id": echoed, "status": echoed, echoed: echoed}}))


def _echo_in_page(_: EchoServer, request) -> None:
    request.respond(200, _secrets_of(request), "Content-Type: text/html")


def _echo_in_redirect(_: EchoServer, request) -> None:
    request.respond(302, "", f"Location: http://127.0.0.1/?{quote(_secrets_of(request))}")


def _breaks_headers(echo: EchoServer, request) -> None:
    request.respond(200, json.dumps({"code": 0}), "No header", f"Set-Cookie: {echo.login(request)}")


def _breaks_cookie(echo: EchoServer, request) -> None:
    request.respond(200, json.dumps({"code": 0}), f"Set-Cookie : {echo.login(request)}")


def _refuse_as_proxy(_: EchoServer, request) -> None:
    echoed = " | ".join(f"{name}: {value}" for name, value in request.headers.items())
    request.respond(407, echoed, f"X-Echoed: {echoed}")


_RESPONDERS: dict[str, Callable] = {
    "echoes_login": _echo_login,
    "echoes_token": _let_in(_echo_token),
    "echoes_in_data": _let_in(_echo_in_data),
    "echoes_in_page": _let_in(_echo_in_page),
    "echoes_in_redirect": _let_in(_echo_in_redirect),
    "breaks_headers": _breaks_headers,
    "breaks_cookie": _breaks_cookie,
}
