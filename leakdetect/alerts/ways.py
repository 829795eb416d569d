"""The ways a message goes: a webhook, an e-mail, a command. Each raises `UndeliveredError` and says why."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import smtplib
import ssl
import subprocess
import time
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from leakdetect import __version__
from leakdetect.alerts.words import Text
from leakdetect.errors import SiteError
from leakdetect.live import Alert
from leakdetect.secrets import filled

TIMEOUT = 5.0
"""[s] that a server, or a command, may take."""
_PLAIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[^\s:/]+)(:\d{1,5})?([/?][!-~]*)?")
"""A URL that the library takes: of others it would say in an error what they hold, which may be a secret."""


class UndeliveredError(Exception):
    """A message did not arrive, and may at another time."""


def send(alert: Alert, key: str, body: Mapping[str, Any], text: Text, folder: Path) -> None:
    """Send a message the way that its block says.

    Parameters
    ----------
    alert : Alert
    key : str
        By which who receives it may tell that it came twice.
    body : mapping
        JSON values.
    text : Text
    folder : path
        Of the site, to which certificates are relative.

    Raises
    ------
    UndeliveredError
    """
    try:
        if alert.webhook:
            _post(alert, key, body, text, folder)
        elif alert.email:
            _mail(alert, key, text, folder)
        else:
            _call(alert, key, body, text)
    except SiteError as error:
        raise UndeliveredError(str(error)) from None
    except UnicodeError:  # which would say a letter of a password
        raise UndeliveredError("user, password and addresses: letters beyond ASCII cannot be sent") from None
    except (ValueError, OSError, http.client.HTTPException, smtplib.SMTPException, subprocess.SubprocessError) as error:
        raise UndeliveredError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None


def signature(key: str, moment: str, body: bytes) -> str:
    """Return what stands in ``X-Leakdetect-Signature``: HMAC-SHA256 of the time, a dot and the body."""
    return "sha256=" + hmac.new(key.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()


def _trust(alert: Alert, folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / alert.ca) if alert.ca else None)


def _post(alert: Alert, key: str, body: Mapping[str, Any], text: Text, folder: Path) -> None:
    written = filled(alert.webhook, "webhook").strip()
    if not _PLAIN.fullmatch(written):
        raise UndeliveredError("webhook: is no https://host/path")  # not as it is written: who knows it may post there
    url = urlsplit(written)
    plain = {"key": key, "subject": text.subject, "text": text.body, **body}
    data = json.dumps(plain, ensure_ascii=False).encode()
    moment = str(int(time.time()))
    headers = {"Content-Type": "application/json", "User-Agent": f"leakdetect/{__version__}", "X-Leakdetect-Key": key}
    if alert.key:
        secret = filled(alert.key, "key")
        headers |= {"X-Leakdetect-Time": moment, "X-Leakdetect-Signature": signature(secret, moment, data)}
    host = (url.hostname or "", url.port)
    connection = (
        http.client.HTTPSConnection(*host, timeout=TIMEOUT, context=_trust(alert, folder))
        if url.scheme == "https"
        else http.client.HTTPConnection(*host, timeout=TIMEOUT)
    )
    try:
        connection.request("POST", (url.path or "/") + (f"?{url.query}" if url.query else ""), data, headers)
        said = connection.getresponse()
        if not 200 <= said.status < 300:
            raise UndeliveredError(f"the server answered {said.status} {said.reason}")
    finally:
        connection.close()


def _mail(alert: Alert, key: str, text: Text, folder: Path) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = text.subject, alert.sender, ", ".join(alert.email)
    mail["Date"] = formatdate()
    # The same whenever it is sent: a mailbox may tell that it came twice.
    mail["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:24]}@leakdetect>"
    mail.set_content(text.body)
    host, _, port = alert.smtp.partition(":")
    usual = {"tls": 465, "starttls": 587, "none": 25}[alert.tls]
    number = int(port) if port.isdigit() else usual
    trust = None if alert.tls == "none" else _trust(alert, folder)
    server = (
        smtplib.SMTP_SSL(host, number, timeout=TIMEOUT, context=trust)
        if alert.tls == "tls"
        else smtplib.SMTP(host, number, timeout=TIMEOUT)
    )
    with server:
        if alert.tls == "starttls":
            server.starttls(context=trust)  # raises where the server has none: nothing goes in the clear
        if alert.user:
            server.login(filled(alert.user, "user"), filled(alert.password, "password"))
        server.send_message(mail)


def _call(alert: Alert, key: str, body: Mapping[str, Any], text: Text) -> None:
    plain = json.dumps({"key": key, "subject": text.subject, "text": text.body, **body}, ensure_ascii=False)
    done = subprocess.run(  # noqa: S603 (the user's own command, from the user's own file; no shell)
        alert.command, input=plain, encoding="utf-8", errors="replace", capture_output=True, timeout=TIMEOUT,
        check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UndeliveredError(f"the command left with {done.returncode}{': ' + said[-1] if said else ''}")
