"""What site.toml says of readings as they arrive, and of whom to tell: ``[stream]`` and ``[[alerts]]``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from leakdetect.blocks import Block
from leakdetect.secrets import is_name

_LEVEL = re.compile(r"\{(\d+)\}")
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"


def _secret(text: str, key: str) -> None:
    if text and not is_name(text):
        raise ValueError(f"{key}: a secret stands here: put it into an environment variable and write ${{NAME}}")


class Topic(Block):
    """A ``[[stream.mqtt.topics]]`` block: what the messages of a topic hold.

    `topic` is a filter as MQTT has it. With format ``json`` a message is an object, or an array of them, and `time`,
    `value` and `name` are its keys; with format ``sparkplug`` it is an object with ``metrics``, each with ``name``,
    ``value`` and ``timestamp``, as Sparkplug has it in JSON. `sensor` names the sensor where the topic does: ``{2}``
    is the topic's second level, ``{name}`` what the message itself says.
    """

    topic: Annotated[str, Field(min_length=1)]
    """A filter as MQTT has it."""
    format: Literal["json", "sparkplug"] = "json"
    """``json``: an object, or an array of them; ``sparkplug``: an object with ``metrics``."""
    sensor: str = "{name}"
    """The sensor's name: ``{2}`` is the topic's second level, ``{name}`` what the message says."""
    name: str = "sensor"
    """Key of the message that names the sensor."""
    time: str = "time"
    """Key of the time."""
    value: str = "value"
    """Key of the reading."""

    @field_validator("topic")
    @classmethod
    def _is_filter(cls, topic: str) -> str:
        *before, last = topic.split("/")
        if any("#" in level for level in before) or any({"+", "#"} & {*s} for s in (*before, last) if len(s) > 1):
            raise ValueError("topic: + and # stand for whole levels, and # for the last: write a/+/b or a/#")
        return topic

    def named(self, topic: str, said: str) -> str:
        """Return the sensor's name; IndexError where the topic has no such level."""
        levels = topic.split("/")
        whole = _LEVEL.sub(lambda found: levels[int(found[1]) - 1], self.sensor)
        return whole.replace("{name}", said)

    @property
    def asks(self) -> bool:
        """Whether the message must name the sensor."""
        return "{name}" in self.sensor


class Mqtt(Block):
    """The ``[stream.mqtt]`` block. `user`, `password`, certificates and `url` may hold ``${NAME}`` of the environment.

    `client` is the name by which the broker keeps what arrives while nobody listens: one a site.
    """

    url: str = ""
    """Of the broker: ``mqtt://host``, ``mqtts://host``."""
    client: str = ""
    """By which the broker keeps what arrives while nobody listens: one a site."""
    user: str = ""
    """Where the server asks for one; may be ``${NAME}``."""
    password: str = ""
    """``${NAME}`` of the environment: no secret stands here."""
    ca: str = ""
    """Certificates to trust, where they are not the system's."""
    certificate: str = ""
    """File of the client's certificate."""
    private_key: str = ""
    """File of its key."""
    topics: list[Topic] = Field(default_factory=lambda: [Topic(topic="leakdetect/readings/#")], min_length=1)
    """What is listened to."""

    @model_validator(mode="after")
    def _secrets(self) -> Self:
        _secret(self.password, "password")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate: and private_key belong together")
        return self


class Stream(Block):
    """The ``[stream]`` block: readings as they arrive.

    A step is taken when all readings due in it are there, or `wait_seconds` after it (by the readings' own times, or by
    the clock where nothing more arrives). A sensor that has said nothing for `quiet_minutes` while others spoke is
    reported; nothing given: four of its own steps, and an hour at least.
    """

    wait_seconds: Annotated[float, Field(ge=0, le=86400)] = 120.0
    """How long after a step its readings may arrive."""
    quiet_minutes: Annotated[float, Field(gt=0)] | None = None
    """Without a reading until a sensor is reported; not given: four of its own steps, and an hour at least."""
    mqtt: Mqtt = Mqtt()
    """The broker."""


PLACEHOLDER = re.compile(r"\{(\w+)\}")
"""What is filled in of a message's template."""
_EVENT = (
    "site", "folder", "event", "flow", "low", "high", "start", "raised", "pipe", "pipes", "sensors", "length", "links",
    "probability",
)  # fmt: skip
FILLED = {"raised": _EVENT, "worse": (*_EVENT, "before"), "silent": ("site", "folder", "sensor", "last")}
"""The names that a template may hold, by the kind of message."""


class Alert(Block):
    """An ``[[alerts]]`` block: whom to tell of new events, of those that have grown, and of sensors that fell silent.

    `webhook` is a URL, `email` who is written to by the server `smtp`, `command` a program: one of the three. Messages
    wait during `quiet_hours` (``22:00-06:00``, the site's time). `worse` is the factor by which a leak must have grown
    since it was last told. `key` signs what a webhook is sent.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """By which it is known; each its own."""
    webhook: str = ""
    """URL that JSON is sent to."""
    key: str = ""
    """Signs what a webhook is sent: ``${NAME}`` of the environment."""
    email: list[str] = Field(default_factory=list)
    """Who is written to."""
    sender: str = ""
    """From whom."""
    smtp: str = ""
    """Server: host, or host:port."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the way to the server is encrypted."""
    ca: str = ""
    """Certificates to trust, where they are not the system's."""
    user: str = ""
    """Where the server asks for one; may be ``${NAME}``."""
    password: str = ""
    """``${NAME}`` of the environment: no secret stands here."""
    command: list[str] = Field(default_factory=list)
    """Program and its arguments, which reads JSON."""
    language: Literal["en", "fr"] = "en"
    """Of the message."""
    quiet_hours: Annotated[str, Field(pattern=rf"^({_CLOCK}-{_CLOCK})?$")] = ""
    """Messages wait, such as ``22:00-06:00``, the site's time."""
    worse: Annotated[float, Field(gt=1)] = 1.5
    """How many times as large a leak must be as when it was last told."""
    sensors: bool = True
    """Of sensors that fell silent too."""
    template: dict[Literal["raised", "worse", "silent"], str] = Field(default_factory=dict)
    """Words of its own, by kind: the first line is the subject, ``{flow}`` and the like are filled in."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in ("webhook", "email", "command") if getattr(self, way)]
        if len(ways) != 1:
            raise ValueError("give one of webhook, email and command")
        if self.email and not (self.smtp and self.sender):
            raise ValueError("email: needs smtp and sender")
        if self.password and self.tls == "none":
            raise ValueError("tls: 'none' would send the password in the clear")
        for key in ("password", "key"):
            _secret(getattr(self, key), key)
        return self

    @field_validator("quiet_hours")
    @classmethod
    def _end(cls, hours: str) -> str:
        first, _, last = hours.partition("-")
        if hours and first == last:
            raise ValueError("quiet_hours: begin and end are the same: nothing would ever be told")
        return hours

    @field_validator("template")
    @classmethod
    def _has_known_names(cls, template: dict[str, str]) -> dict[str, str]:
        for kind, words in template.items():
            for name in PLACEHOLDER.findall(words):
                if name not in FILLED[kind]:
                    raise ValueError(f"{kind}: {{{name}}} is not known there: use {', '.join(FILLED[kind])}")
            if not words.strip():
                raise ValueError(f"{kind}: is empty: the first line is the subject")
        return template

    @field_validator("webhook")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if url and not re.match(r"https?://[^/\s]|\$\{", url):
            raise ValueError("webhook: write https://host/path")
        return url

    @field_validator("email")
    @classmethod
    def _addresses(cls, who: list[str]) -> list[str]:
        if any(not re.fullmatch(r"[^@\s,]+@[^@\s,]+", one) for one in who):
            raise ValueError("email: an address is none: write name@host")
        return who
