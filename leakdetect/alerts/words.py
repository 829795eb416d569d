"""What an alert says, in English and French."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leakdetect.events import Event, parse_time
from leakdetect.live import PLACEHOLDER, Alert
from leakdetect.report.language import Language, language

_PIPES = 3

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "raised": "{site}: a leak of about {flow} m³/h is suspected",
        "worse": "{site}: the suspected leak {event} has grown to about {flow} m³/h",
        "silent": "{site}: sensor {sensor} has fallen silent",
        "test": "{site}: a trial message of leakdetect",
        "event": "Event: {event}",
        "since": "Since: {start} (known at {raised})",
        "flow": "Flow: {flow} m³/h ({low} to {high})",
        "before": "Before: {before} m³/h",
        "where": "Begin to look at: {pipes}",
        "zone": "Zone: {length}, {links} pipes, probability {probability}",
        "district": "District of: {sensors}",
        "last": "Last reading: {last}",
        "nothing": "Nothing has happened. Messages of this kind arrive.",
        "more": "More: leakdetect events {folder} show {event}",
    },
    "fr": {
        "raised": "{site} : une fuite d'environ {flow} m³/h est suspectée",
        "worse": "{site} : la fuite suspectée {event} est passée à environ {flow} m³/h",
        "silent": "{site} : le capteur {sensor} ne donne plus de mesure",
        "test": "{site} : message d'essai de leakdetect",
        "event": "Événement : {event}",
        "since": "Depuis : {start} (connu le {raised})",
        "flow": "Débit : {flow} m³/h (de {low} à {high})",
        "before": "Auparavant : {before} m³/h",
        "where": "Chercher d'abord sur : {pipes}",
        "zone": "Zone : {length}, {links} conduites, probabilité {probability}",
        "district": "Secteur de : {sensors}",
        "last": "Dernière mesure : {last}",
        "nothing": "Rien ne s'est passé. Les messages de ce type arrivent.",
        "more": "Pour en savoir plus : leakdetect events {folder} show {event}",
    },
}


@dataclass(frozen=True)
class Text:
    """A message as people read it."""

    subject: str
    lines: tuple[str, ...]

    @property
    def body(self) -> str:
        """The lines, each with its end."""
        return "".join(f"{line}\n" for line in self.lines)


def text(body: Mapping[str, Any], site: str, timezone: str, folder: str, alert: Alert) -> Text:
    """Return what is said.

    Parameters
    ----------
    body : mapping
        Of a `store.Message`.
    site, timezone, folder : str
    alert : Alert
        With its language, and words of its own if it has any.
    """
    words, speaks = WORDS[alert.language], language(alert.language)
    values = {"site": site, "folder": folder}
    keys: list[str] = []
    if "event" in body:
        values |= _of_event(body, timezone, speaks)
        place = "where" if values["pipes"] else "district"
        keys = ["event", "since", "flow", *(["before"] if "before_m3h" in body else []), place]
        keys += [*(["zone"] if values["pipes"] else []), "more"]
    elif body["kind"] == "silent":
        last = parse_time(body["last"])
        assert last is not None
        values |= {"sensor": body["sensor"], "last": speaks.time(last, timezone)}
        keys = ["last"]
    else:
        keys = ["nothing"]
    own = alert.template.get(body["kind"])
    if own is not None:
        first, *rest = PLACEHOLDER.sub(lambda name: values[name[1]], own.strip()).splitlines()
        return Text(first, tuple(rest) or (first,))
    subject = words[body["kind"]].format(**values)
    return Text(subject, (subject, "", *(words[key].format(**values) for key in keys)))


def _of_event(body: Mapping[str, Any], timezone: str, speaks: Language) -> dict[str, str]:
    event = Event.from_dict(body["event"] | body["event"].get("latest", {}))
    pipes = [f"{c.link} ({speaks.percent(c.probability)})" for c in event.candidates[:_PIPES]]
    return {
        "event": event.id,
        "flow": speaks.flow(event.flow_m3h),
        "low": speaks.flow(event.flow_low),
        "high": speaks.flow(event.flow_high),
        "before": speaks.flow(body.get("before_m3h", event.flow_m3h)),
        "start": speaks.time(event.start, timezone),
        "raised": speaks.time(event.raised_at, timezone),
        "pipe": event.candidates[0].link if event.candidates else "",
        "pipes": ", ".join(pipes),
        "sensors": ", ".join(e.sensor for e in event.evidence),
        "length": speaks.length(event.zone.length_m),
        "links": str(len(event.zone.links)),
        "probability": speaks.percent(event.zone.probability),
    }
