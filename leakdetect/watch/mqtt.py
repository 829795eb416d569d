"""Readings from an MQTT broker, acknowledged once they are on the disk."""

from __future__ import annotations

import queue
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from leakdetect.errors import InputError, MissingExtraError, MissingFileError
from leakdetect.secrets import filled
from leakdetect.watch.messages import Raw, RefusedError, from_message
from leakdetect.watch.sources import Arrival, drained

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

    from leakdetect.live import Mqtt
    from leakdetect.site import Site

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_MOST = 5_000  # messages that wait; when there are more the connection is not read, and the broker keeps them
_BATCH = 2_000  # messages at once
_BACK_OFF = (1, 60)  # [s] between attempts to connect anew: the first, the longest
_QOS = 1


class Broker:
    """A subscription; see `sources.Source`.

    The session lasts: what is published while nobody listens, or was not acknowledged, the broker sends again. Who is
    sent a reading twice is none the worse, since a sensor has one reading at a time.

    Parameters
    ----------
    site : Site
    url : str
        ``mqtt://host:port`` or ``mqtts://`` (TLS); '' for that of site.toml.
    tell : callable
        Told when the connection is lost and found.
    refuse : callable
        Told why of what is no reading.

    Raises
    ------
    MissingExtraError
        If paho-mqtt is not installed.
    InputError
        If there is no URL, a file of certificates is not there, or the broker's certificate is not to be trusted.
    """

    def __init__(self, site: Site, url: str, tell: Callable[[str], None], refuse: Callable[[str], None]) -> None:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ModuleNotFoundError:
            raise MissingExtraError("--mqtt needs paho-mqtt: run pip install 'leakdetect[mqtt]'") from None
        self._rules, self._tell, self._refuse = site.stream.mqtt.topics, tell, refuse
        self._matches = paho.topic_matches_sub
        place = urlsplit(filled(url or site.stream.mqtt.url, "stream.mqtt.url"))
        if place.scheme not in _PORTS or not place.hostname:
            raise InputError("where is the broker? Write mqtt://host or mqtts://host, or url under [stream.mqtt]")
        try:
            port = place.port or _PORTS[place.scheme]
        except ValueError as error:
            raise InputError(f"the broker's url: {error}: correct url under [stream.mqtt]") from None
        self._name = f"{place.scheme}://{place.hostname}:{port}"
        self._waiting: queue.Queue[MQTTMessage] = queue.Queue(_MOST)
        self._refused: queue.Queue[str] = queue.Queue()
        self._up = self._over = False
        client = paho.Client(
            CallbackAPIVersion.VERSION2, site.stream.mqtt.client or f"leakdetect-{site.name}",
            clean_session=False, manual_ack=True,
        )  # fmt: skip
        self._client: Client = client
        _identify(client, site, site.stream.mqtt, place.scheme == "mqtts", unquote(place.username or ""))
        client.on_connect, client.on_disconnect, client.on_message = self._connected, self._lost, self._arrived
        client.on_subscribe = self._listens
        client.reconnect_delay_set(*_BACK_OFF)
        client.max_queued_messages_set(0)
        try:
            client.connect(place.hostname, port)
        except OSError as error:
            why = f"{self._name}: {error}: is the broker up, and url right?"
            if isinstance(error, ssl.SSLError):
                raise InputError(why) from None
            tell(f"{why}; trying again")
        client.loop_start()

    # -- called by the client's own thread ---------------------------------------------------------------------

    def _connected(self, client: Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refused.put(f"{self._name}: {reason}: set user and password, or certificate, under [stream.mqtt]")
            return
        client.subscribe([(rule.topic, _QOS) for rule in self._rules])

    def _listens(self, _client: Client, _user: Any, _number: int, reasons: Any, _properties: Any) -> None:
        """Say so only now: what was published before the broker knew of us is not kept for us."""
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._refused.put(f"{self._name}: {refused[0]}: let this user read the topics under [stream.mqtt]")
            return
        if not self._up:
            self._tell(f"connected to {self._name}")
        self._up = True

    def _lost(self, _client: Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._up and reason.is_failure:
            self._tell(f"lost {self._name}: {reason}; trying again")
        self._up = False

    def _arrived(self, _client: Client, _user: Any, message: MQTTMessage) -> None:
        while not self._over:  # waits where too many do: the connection is not read then
            try:
                self._waiting.put(message, timeout=1.0)
            except queue.Full:
                continue
            return

    # -- called by the watch -----------------------------------------------------------------------------------

    def take(self, wait: float) -> Arrival | None:
        """See `Source`; raises InputError if the broker refuses us."""
        if not self._refused.empty():
            raise InputError(self._refused.get())
        messages = drained(self._waiting, wait, _BATCH)
        if not messages:
            return Arrival(())
        raw = list[Raw]()
        for message in messages:
            raw += self._read(message)
        return Arrival(raw, lambda: self._acknowledge(messages))

    def _read(self, message: MQTTMessage) -> list[Raw]:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._refuse("a message on a topic that is not UTF-8")
            return []
        rule = next((rule for rule in self._rules if self._matches(rule.topic, topic)), None)
        if rule is None:  # of a subscription that the broker remembers
            self._refuse("a message on a topic that site.toml does not name")
            return []
        try:
            return list(from_message(topic, bytes(message.payload), rule))
        except RefusedError as error:
            self._refuse(str(error))
            return []

    def _acknowledge(self, messages: list[MQTTMessage]) -> None:
        for message in messages:
            if message.qos:
                self._client.ack(message.mid, message.qos)

    def close(self) -> None:
        """See `Source`: the broker keeps the session."""
        self._over = True
        self._client.disconnect()
        self._client.loop_stop()


def _identify(client: Client, site: Site, told: Mqtt, secure: bool, user: str) -> None:
    """Give a client its user or certificate."""
    if told.user or user:
        client.username_pw_set(
            filled(told.user, "stream.mqtt.user") or user, filled(told.password, "stream.mqtt.password") or None
        )
    if not secure:
        return
    paths = {key: filled(getattr(told, key), f"stream.mqtt.{key}") for key in ("ca", "certificate", "private_key")}
    for key, path in paths.items():
        if path and not (site.folder / path).is_file():
            raise MissingFileError(f"{site.folder / path}: no such file: correct {key} under [stream.mqtt]")
    trust = ssl.create_default_context(cafile=str(site.folder / paths["ca"]) if paths["ca"] else None)
    if paths["certificate"]:
        trust.load_cert_chain(site.folder / paths["certificate"], site.folder / paths["private_key"])
    client.tls_set_context(trust)
