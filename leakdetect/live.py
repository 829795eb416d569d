"""What site.toml says of readings as they arrive, and of whom to tell: ``[stream]`` and ``[[alerts]]``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_VARIABLE = re.compile(r"\$\{\w+\}")
_LEVEL = re.compile(r"\{(\d+)\}")
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _secret(text: str, key: str) -> None:
    if text and not _VARIABLE.fullmatch(text):
        raise ValueError(f"{key}: a secret stands here: put it into an environment variable and write ${{NAME}}")


class Topic(_Model):
    """A ``[[stream.mqtt.topics]]`` block: what the messages of a topic hold.

    `topic` is a filter as MQTT has it. With format ``json`` a message is an object, or an array of them, and `time`,
    `value` and `name` are its keys; with format ``sparkplug`` it is an object with ``metrics``, each with ``name``,
    ``value`` and ``timestamp``, as Sparkplug has it in JSON. `sensor` names the sensor where the topic does: ``{2}``
    is the topic's second level, ``{name}`` what the message itself says.
    """

    topic: Annotated[str, Field(min_length=1)]
    """A filter as MQTT has it."""
    format: Literal["json", "sparkplug"] = "json"
    """What a message is: JSON, or Sparkplug in JSON."""
    sensor: str = "{name}"
    """The sensor's name: ``{2}`` is the topic's second level, ``{name}`` what the message says."""
    name: str = "sensor"
    """Key of the sensor's name (json)."""
    time: str = "time"
    """Key of the time (json)."""
    value: str = "value"
    """Key of the value (json)."""

    def named(self, topic: str, said: str) -> str:
        """Return the sensor's name; IndexError where the topic has no such level."""
        levels = topic.split("/")
        whole = _LEVEL.sub(lambda found: levels[int(found[1]) - 1], self.sensor)
        return whole.replace("{name}", said)

    @property
    def asks(self) -> bool:
        """Whether the message must name the sensor."""
        return "{name}" in self.sensor


class Mqtt(_Model):
    """The ``[stream.mqtt]`` block. `user`, `password`, certificates and `url` may hold ``${NAME}`` of the environment.

    `client` is the name by which the broker keeps what arrives while nobody listens: one a site.
    """

    url: str = ""
    """Of the broker; ``${NAME}`` stands for an environment variable, here and below."""
    client: str = ""
    """The name by which the broker keeps what arrives while nobody listens: one a site."""
    user: str = ""
    """Who logs in."""
    password: str = ""
    """Never written out: ``${NAME}`` of an environment variable."""
    ca: str = ""
    """Certificates to trust, where they are not the system's."""
    certificate: str = ""
    """Of leakdetect, where the broker asks for one."""
    private_key: str = ""
    """Belongs to the certificate."""
    topics: list[Topic] = Field(default_factory=lambda: [Topic(topic="leakdetect/readings/#")], min_length=1)
    """What the messages of a topic hold."""

    @model_validator(mode="after")
    def _secrets(self) -> Self:
        _secret(self.password, "password")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate: and private_key belong together")
        return self


class Stream(_Model):
    """The ``[stream]`` block: readings as they arrive.

    A step is taken when all readings due in it are there, or `wait_seconds` after it (by the readings' own times, or by
    the clock where nothing more arrives). A sensor that has said nothing for `quiet_minutes` while others spoke is
    reported; nothing given: four of its own steps, and an hour at least.
    """

    wait_seconds: Annotated[float, Field(ge=0, le=86400)] = 120.0
    """How long a step waits for the readings due in it."""
    quiet_minutes: Annotated[float, Field(gt=0)] | None = None
    """When a silent sensor is told of; four of its own steps, and an hour at least, where not given."""
    mqtt: Mqtt = Mqtt()
    """Readings from an MQTT broker."""


class Alert(_Model):
    """An ``[[alerts]]`` block: whom to tell of new events, of those that have grown, and of sensors that fell silent.

    `webhook` is a URL, `email` who is written to by the server `smtp`, `command` a program: one of the three. Messages
    wait during `quiet_hours` (``22:00-06:00``, the site's time). `worse` is the factor by which a leak must have grown
    since it was last told. `key` signs what a webhook is sent.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """Tells alerts apart."""
    webhook: str = ""
    """URL that is sent JSON."""
    key: str = ""
    """Signs what a webhook is sent; ``${NAME}`` of an environment variable."""
    email: list[str] = Field(default_factory=list)
    """Who is written to."""
    sender: str = ""
    """Who writes."""
    smtp: str = ""
    """Mail server: host or host:port."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the mail server is spoken to."""
    ca: str = ""
    """Certificates to trust, where they are not the system's."""
    user: str = ""
    """Who logs in to the mail server."""
    password: str = ""
    """Never written out: ``${NAME}`` of an environment variable."""
    command: list[str] = Field(default_factory=list)
    """A program and its arguments, in place of webhook or mail."""
    language: Literal["en", "fr"] = "en"
    """Of messages."""
    quiet_hours: Annotated[str, Field(pattern=rf"^({_CLOCK}-{_CLOCK})?$")] = ""
    """Messages wait then: ``22:00-06:00``, the site's time."""
    worse: Annotated[float, Field(gt=1)] = 1.5
    """Factor by which a leak must have grown since it was last told."""
    sensors: bool = True
    """Whether to tell of sensors that fell silent."""

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
