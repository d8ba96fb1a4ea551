#!/usr/bin/env python3
"""Looks at a gateway from outside, as a stranger on the network would: its certificate, the protocols
that it speaks, what it lets web pages do, and what it tells browsers.

    make staging-check URL=https://staging.example ORIGIN=https://app.example CA=root.pem

ORIGIN names the origins that must be let in, between commas. CA is a PEM file with the authorities to
trust; without it those of this machine count. With BKG_CHECK_PASSWORD in the environment (and
BKG_CHECK_USER, else admin) it logs in, looks at the session's cookie, and logs out again.

One line a check: PASS, FAIL or SKIP. Exit code 0 where none failed, 1 where one did, 2 where the
question makes no sense. Only the standard library is used.
"""

import argparse
import http.client
import json
import os
import re
import socket
import ssl
import struct
import sys
import time
from urllib.parse import urlsplit

FOREIGN = "https://foreign.invalid"
LEAST_DAYS = 14
HALF_A_YEAR = 15_552_000
WAIT = 15


class Report:
    """What was found so far."""

    def __init__(self):
        self.failed = 0
        self.passed = 0

    def check(self, holds, what, found=""):
        """One line; answers whether it held."""
        found = plain(found)
        note = f" ({found})" if found else ""
        print(f"{'PASS' if holds else 'FAIL'}  {what}{note}", flush=True)
        self.passed += bool(holds)
        self.failed += not holds
        return bool(holds)

    def skip(self, what, why):
        print(f"SKIP  {what} ({plain(why)})", flush=True)


def plain(text):
    """What a stranger sent, without what would steer the terminal."""
    text = str(text)
    return "".join(one if one.isprintable() else "?" for one in text)[:300]


class Answer:
    """An answer with its headers, whose names are in lower case."""

    def __init__(self, status, pairs, body):
        self.status = status
        self.pairs = [(name.lower(), value) for name, value in pairs]
        self.body = body

    def all(self, name):
        return [value for other, value in self.pairs if other == name]

    def header(self, name):
        return ", ".join(self.all(name))


class Target:
    """The gateway."""

    def __init__(self, url, ca):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https address")
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.tls else 80)
        self.context = ssl.create_default_context(cafile=ca)
        # Everything but the certificate's own check is asked of a gateway whatever it shows.
        self.lenient = ssl.create_default_context()
        self.lenient.check_hostname = False
        self.lenient.verify_mode = ssl.CERT_NONE

    def dial(self):
        return socket.create_connection((self.host, self.port), WAIT)

    def ask(self, method, path, headers=None, body=None):
        if self.tls:
            dial = http.client.HTTPSConnection(
                self.host, self.port, timeout=WAIT, context=self.lenient
            )
        else:
            dial = http.client.HTTPConnection(self.host, self.port, timeout=WAIT)
        try:
            dial.request(method, path, body=body, headers=headers or {})
            answer = dial.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read(1 << 20))
        finally:
            dial.close()


def check_certificate(report, target):
    try:
        with target.dial() as plain_socket:
            with target.context.wrap_socket(
                plain_socket, server_hostname=target.host
            ) as tls:
                shown = tls.getpeercert()
    except ssl.SSLCertVerificationError as error:
        report.check(False, "certificate: trusted, and for this name", error.verify_message)
        return
    except (OSError, ssl.SSLError) as error:
        report.check(False, "certificate: trusted, and for this name", error)
        return
    report.check(True, "certificate: trusted, and for this name")
    left = (ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / 86400
    report.check(
        left >= LEAST_DAYS, f"certificate: holds for {LEAST_DAYS} days more", f"{left:.0f} days"
    )


def speaks(target, version):
    """Whether a handshake of just this version succeeds, and with which cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    try:
        with target.dial() as plain_socket:
            with context.wrap_socket(plain_socket, server_hostname=target.host) as tls:
                return tls.cipher()[0]
    except (OSError, ssl.SSLError):
        return None


def takes_old_hello(target, version):
    """Whether a ClientHello that offers at most this old version is answered with a ServerHello. It
    is written by hand: the libraries of today cannot say it any more."""
    suites = bytes.fromhex("c014c013c00ac009003500 2f000a".replace(" ", ""))
    groups = bytes.fromhex("000a00080006001700180019")
    points = bytes.fromhex("000b00020100")
    extensions = groups + points
    hello = (
        struct.pack("!H", version)
        + os.urandom(32)
        + b"\0"
        + struct.pack("!H", len(suites))
        + suites
        + b"\x01\x00"
        + struct.pack("!H", len(extensions))
        + extensions
    )
    handshake = b"\x01" + struct.pack("!I", len(hello))[1:] + hello
    record = b"\x16\x03\x01" + struct.pack("!H", len(handshake)) + handshake
    try:
        with target.dial() as plain_socket:
            plain_socket.sendall(record)
            first = plain_socket.recv(6)
    except OSError:
        return False
    # A record of type handshake whose message is a ServerHello.
    return len(first) == 6 and first[0] == 0x16 and first[5] == 0x02


def check_protocols(report, target):
    strong = re.compile(r"GCM|CHACHA20|CCM")
    for version, name in ((ssl.TLSVersion.TLSv1_3, "1.3"), (ssl.TLSVersion.TLSv1_2, "1.2")):
        cipher = speaks(target, version)
        report.check(cipher is not None, f"protocols: TLS {name} is spoken")
        if cipher is not None:
            report.check(strong.search(cipher), f"protocols: TLS {name} has a strong cipher", cipher)
    for version, name in ((0x0302, "1.1"), (0x0301, "1.0"), (0x0300, "SSL 3")):
        report.check(not takes_old_hello(target, version), f"protocols: {name} is refused")
    report.check(not answers_plain_http(target), "protocols: nothing is told without encryption")


def answers_plain_http(target):
    try:
        with target.dial() as plain_socket:
            host = target.host.encode("idna").decode()
            plain_socket.sendall(f"GET /health/live HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return plain_socket.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def check_health(report, target):
    for path in ("/health/live", "/health/ready"):
        answer = target.ask("GET", path)
        report.check(answer.status == 200, f"health: {path} answers 200", answer.status)


def directives(policy):
    """A Content-Security-Policy by directive."""
    parts = [one.split() for one in policy.split(";") if one.split()]
    return {words[0].lower(): words[1:] for words in parts}


def check_policy(report, what, answer):
    policies = answer.all("content-security-policy")
    if not report.check(len(policies) == 1, f"{what}: one Content-Security-Policy", len(policies)):
        return
    policy = directives(policies[0])
    report.check(policy.get("default-src") == ["'none'"], f"{what}: CSP denies by default")
    report.check(policy.get("frame-ancestors") == ["'none'"], f"{what}: CSP forbids framing")
    report.check(policy.get("base-uri") == ["'none'"], f"{what}: CSP forbids <base>")
    sources = {source for words in policy.values() for source in words}
    loose = sorted(
        one for one in sources if "unsafe" in one or one == "*" or one in ("http:", "https:")
    )
    report.check(not loose, f"{what}: CSP allows nothing loose", " ".join(loose))


def check_headers(report, what, answer, private=True):
    header = answer.header
    seconds = re.search(r"max-age=(\d+)", header("strict-transport-security"))
    report.check(
        seconds and int(seconds.group(1)) >= HALF_A_YEAR,
        f"{what}: Strict-Transport-Security for half a year or more",
        header("strict-transport-security") or "none",
    )
    for name, wanted in (
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ):
        found = header(name)
        report.check(found.lower() == wanted.lower(), f"{what}: {name}", found or "none")
    if private:
        report.check("no-store" in header("cache-control"), f"{what}: cache-control is no-store")
    banner = [f"{name}: {header(name)}" for name in ("server", "x-powered-by", "via") if header(name)]
    told = [one for one in banner if re.search(r"\d", one) or one.startswith("x-powered-by")]
    report.check(not told, f"{what}: no banner tells a version", "; ".join(told))
    check_policy(report, what, answer)


def check_pages(report, target):
    check_headers(report, "answer", target.ask("GET", "/health/live"))
    refused = target.ask("GET", "/v1/models")
    report.check(refused.status == 401, "stranger: /v1/models answers 401", refused.status)
    check_headers(report, "refusal", refused)
    page = target.ask("GET", "/", {"Accept": "text/html"})
    if page.status == 200 and page.header("content-type").startswith("text/html"):
        check_headers(report, "page", page, private=False)
    else:
        report.skip("page: its headers", f"there is no site: / answers {page.status}")
    unknown = target.ask("GET", "/no/such/thing")
    report.check(unknown.status == 404, "unknown path: answers 404", unknown.status)
    leaks = re.search(rb"panicked|\.rs:\d|/src/|actix|rustls", unknown.body + refused.body)
    report.check(not leaks, "errors: nothing of the program's inside is told")
    traced = target.ask("TRACE", "/health/live")
    report.check(traced.status in (400, 403, 405, 501), "TRACE is refused", traced.status)


def preflight(target, origin):
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return target.ask("OPTIONS", "/v1/chat/completions", asked)


def check_cors(report, target, origins):
    for origin in origins:
        asked = preflight(target, origin)
        real = target.ask("GET", "/v1/models", {"Origin": origin})
        for what, answer in (("preflight", asked), ("request", real)):
            allowed = answer.header("access-control-allow-origin")
            report.check(allowed == origin, f"CORS: {origin} is let in ({what})", allowed or "none")
            varies = answer.header("vary").lower()
            report.check("origin" in varies, f"CORS: {origin}: Vary names Origin ({what})")
            check_credentials(report, f"{origin} ({what})", answer)
        methods = asked.header("access-control-allow-methods")
        report.check("POST" in methods, f"CORS: {origin} may POST", methods or "none")
        taken = asked.header("access-control-allow-headers").lower()
        report.check("authorization" in taken, f"CORS: {origin} may send a key")
    if not origins:
        report.skip("CORS: origins that are let in", "none was named by ORIGIN")
    lookalikes = [origin + ".foreign.invalid" for origin in origins]
    for origin in [FOREIGN, "null", *lookalikes]:
        for what, answer in (
            ("preflight", preflight(target, origin)),
            ("request", target.ask("GET", "/v1/models", {"Origin": origin})),
        ):
            allowed = answer.header("access-control-allow-origin")
            report.check(not allowed, f"CORS: {origin} is not let in ({what})", allowed)
            check_credentials(report, f"{origin} ({what})", answer)


def check_credentials(report, what, answer):
    anyone = answer.header("access-control-allow-origin") == "*"
    cookies = answer.header("access-control-allow-credentials").lower() == "true"
    report.check(not (anyone and cookies), f"CORS: {what}: never * with credentials")


def check_cookie(report, target):
    password = os.environ.get("BKG_CHECK_PASSWORD")
    if not password:
        report.skip("cookie: its flags", "BKG_CHECK_PASSWORD is not set")
        return
    user = os.environ.get("BKG_CHECK_USER", "admin")
    body = json.dumps({"username": user, "password": password})
    answer = target.ask("POST", "/auth/login", {"Content-Type": "application/json"}, body)
    if not report.check(answer.status == 200, "cookie: log-in succeeds", answer.status):
        return
    cookies = answer.all("set-cookie")
    if not report.check(len(cookies) == 1, "cookie: one is set", len(cookies)):
        return
    pair, *flags = [one.strip() for one in cookies[0].split(";")]
    flags = {one.split("=")[0].lower(): one.partition("=")[2].lower() for one in flags}
    report.check(pair.startswith("__Host-"), "cookie: no other host can plant it", pair.split("=")[0])
    report.check("secure" in flags, "cookie: Secure")
    report.check("httponly" in flags, "cookie: HttpOnly")
    report.check(flags.get("samesite") == "strict", "cookie: SameSite is Strict")
    report.check(flags.get("path") == "/" and "domain" not in flags, "cookie: for this host alone")
    ended = target.ask("POST", "/auth/logout", {"Cookie": pair})
    after = target.ask("GET", "/auth/session", {"Cookie": pair})
    report.check(
        ended.status < 300 and after.status == 401, "cookie: worth nothing after log-out", after.status
    )


def run(report, target, origins):
    report.check(target.tls, "the address is https")
    if target.tls:
        check_certificate(report, target)
        check_protocols(report, target)
    # Each part is tried, so that one run tells everything that is wrong.
    for part in (
        check_health,
        check_pages,
        lambda report, target: check_cors(report, target, origins),
        check_cookie,
    ):
        try:
            part(report, target)
        except (OSError, http.client.HTTPException) as error:
            report.check(False, "an answer came", f"{type(error).__name__}: {error}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--origin", default="", help="origins that must be let in, between commas")
    parser.add_argument("--ca", default=None, help="a PEM file with the authorities to trust")
    args = parser.parse_args()
    origins = [one.strip() for one in args.origin.split(",") if one.strip()]
    try:
        target = Target(args.url, args.ca or None)
    except (ValueError, OSError, ssl.SSLError) as error:
        print(f"staging-check: {plain(error)}", file=sys.stderr)
        return 2
    report = Report()
    run(report, target, origins)
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
