"""Who may use the page: the token, and that no other web site uses it through a visitor's browser. Opens nothing.

Without a token the page is for this machine alone, and every name in the address bar but this machine's own is refused: a
hostile site could otherwise let its own name point to 127.0.0.1 and read the page (DNS rebinding). With a token the name
does not matter: a browser that came by another name has no cookie for it. In both cases a WebSocket or an upload must
come from our own page (browsers tell the page's origin), so no other site can open one behind a visitor's back.
"""

import hmac
import ipaddress
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_TOKEN_LETTERS = 12
"""Shorter ones could be tried out over a network."""

_COOKIE_SECONDS = 30 * 24 * 3600


def new_token() -> str:
    """Return a token that nobody guesses, fit for an address."""
    return secrets.token_urlsafe(18)


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or address without port, can only be this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def check_token(host: str, token: str | None) -> None:
    """Raise ValueError where ``host`` can be reached from other machines without a token, or the token is too short."""
    if token is None:
        if not is_loopback(host):
            raise ValueError(
                f"{host or 'every address'} can be reached from other machines: give the page a token, "
                "or serve 127.0.0.1 and reach it through ssh -L"
            )
        return
    if len(token) < MIN_TOKEN_LETTERS or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"a token has at least {MIN_TOKEN_LETTERS} letters or digits and no blanks")


class Access:
    """Lets requests through to ``app`` that may be there, and adds headers that keep the page to itself.

    Args:
        app: What is guarded.
        token: Secret that a visitor brings once as ``?token=`` (then a cookie keeps it) or as ``Authorization: Bearer``.
        policy: The Content-Security-Policy.
    """

    def __init__(self, app: ASGIApp, token: str | None, policy: str) -> None:
        self._app = app
        self._token = token
        self._headers = {
            "Content-Security-Policy": policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let ``app`` answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send_with_headers)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        if self._token is None and not is_loopback(_host_name(connection.headers.get("host", ""))):
            return PlainTextResponse("This page is for its own machine: open it as http://127.0.0.1 or localhost.", 403)
        if self._token is not None:
            given = self._given_token(connection)
            if not _same(given, self._token):
                return PlainTextResponse(
                    "This page needs its token: open the whole address that dptstream printed, up to the last letter.",
                    401,
                    {"WWW-Authenticate": 'Bearer realm="dptstream"'},
                )
            if "token" in connection.query_params and connection.scope["type"] == "http":
                return self._remembering(connection)
        safe = connection.scope["type"] == "http" and connection.scope["method"] in ("GET", "HEAD")
        if not safe and not _from_own_page(connection.headers):
            return PlainTextResponse("This came from another web site's page.", 403)
        return None

    def _given_token(self, connection: HTTPConnection) -> str:
        in_address = connection.query_params.get("token")
        if in_address is not None:
            return in_address
        scheme, _, value = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return value.strip()
        return connection.cookies.get(_cookie_name(connection), "")

    def _remembering(self, connection: HTTPConnection) -> Response:
        """Take the token out of the address bar, where others could read it, into a cookie that scripts cannot read."""
        rest = [(name, value) for name, value in parse_qsl(connection.url.query) if name != "token"]
        # To the one page there is, and not to the path given: //elsewhere would be another site.
        response = RedirectResponse("/" + ("?" + urlencode(rest) if rest else ""), 303)
        # Lax: a strict cookie would be missing just after a click on the address in a mail.
        response.set_cookie(
            _cookie_name(connection),
            self._token or "",
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="lax",
            secure=connection.url.scheme == "https",
        )
        return response


def _cookie_name(connection: HTTPConnection) -> str:
    # Cookies do not tell ports apart, and two viewers may run on one machine.
    return f"dptstream_{connection.url.port or 0}"


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode("ascii"))


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _from_own_page(headers: Headers) -> bool:
    """Whether the request has our own page's origin, or none, as programs that are no browsers have."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == headers.get("host", "").lower()
