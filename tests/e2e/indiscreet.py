"""A server that says what it was told: its answers hold the account and the token, in many spellings."""

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


class Indiscreet:
    """Listens while it is open. The first part of a path says how it answers; it refuses to be a proxy.

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
        """Let in, and return the cookie."""
        cookie = self._sessions.connect(request.headers["Authorization"], "graphd", 9669, 0)
        self.tokens.add(cookie.partition(";")[0].partition("=")[2])
        return cookie

    def _handler(indiscreet) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.close_connection = True
                _, _, place = self.path.partition("/")  # what a proxy is asked for begins with no slash
                answer = _ANSWERS.get(place.partition("/")[0], _refuse_as_proxy)
                answer(indiscreet, self)

            do_GET = do_POST = do_PUT = do_CONNECT = handle_any  # noqa: N815

            def answer(self, status: int, body: str, *headers: str) -> None:
                """Send an answer, with headers that need not be right."""
                raw = body.encode()
                head = [f"HTTP/1.1 {status} {self.responses.get(status, ('Answer',))[0]}", *headers]
                head += [f"Content-Length: {len(raw)}", "Connection: close", "", ""]
                self.wfile.write("\r\n".join(head).encode() + raw)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


def _all_that(request: BaseHTTPRequestHandler) -> str:
    """Return a request's headers, and what they hold, as servers write it in their messages."""
    told = [f"{name}: {value}" for name, value in request.headers.items()]
    for value in (request.headers.get("Authorization", ""), request.headers.get("Cookie", "")):
        for part in value.replace("=", ".").replace(" ", ".").split("."):
            try:
                text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
            except ValueError:
                continue
            told += [part, text, json.dumps(text), quote(text), html.escape(text), repr(text)]
            told += _passwords_in(text)
    return " | ".join(told)


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


def _tells_login(_: Indiscreet, request) -> None:
    request.answer(400, _refusal(_all_that(request), 40004000))


def _let_in(answer: Callable) -> Callable:
    def let_in(indiscreet: Indiscreet, request) -> None:
        if not request.path.endswith("/connect"):
            return answer(indiscreet, request)
        cookie = indiscreet.login(request)
        return request.answer(200, json.dumps({"code": 0, "data": {}}), f"Set-Cookie: {cookie}")

    return let_in


def _tells_token(_: Indiscreet, request) -> None:
    request.answer(500, _refusal(_all_that(request), 50004000))


def _tells_in_data(_: Indiscreet, request) -> None:
    told = _all_that(request)
    request.answer(200, json.dumps({"code": 0, "data": {"id": told, "status": told, told: told}}))


def _tells_in_page(_: Indiscreet, request) -> None:
    request.answer(200, _all_that(request), "Content-Type: text/html")


def _tells_in_redirect(_: Indiscreet, request) -> None:
    request.answer(302, "", f"Location: http://127.0.0.1/?{quote(_all_that(request))}")


def _breaks_headers(indiscreet: Indiscreet, request) -> None:
    request.answer(200, json.dumps({"code": 0}), "No header", f"Set-Cookie: {indiscreet.login(request)}")


def _breaks_cookie(indiscreet: Indiscreet, request) -> None:
    request.answer(200, json.dumps({"code": 0}), f"Set-Cookie : {indiscreet.login(request)}")


def _refuse_as_proxy(_: Indiscreet, request) -> None:
    told = " | ".join(f"{name}: {value}" for name, value in request.headers.items())
    request.answer(407, told, f"X-Told: {told}")


_ANSWERS: dict[str, Callable] = {
    "tells_login": _tells_login,
    "tells_token": _let_in(_tells_token),
    "tells_in_data": _let_in(_tells_in_data),
    "tells_in_page": _let_in(_tells_in_page),
    "tells_in_redirect": _let_in(_tells_in_redirect),
    "breaks_headers": _breaks_headers,
    "breaks_cookie": _breaks_cookie,
}
