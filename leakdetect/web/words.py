"""The texts of the page, English and French; those that it shares with the report come from there."""

from __future__ import annotations

from leakdetect.report.language import kept_together, language

_SHARED = (
    "abrupt", "incipient", "open", "confirmed", "dismissed", "repaired", "closed", "is_new", "event", "status",
    "kind", "began", "ended", "raised", "flow", "map", "rank", "pipe", "length", "probability", "evidence",
    "sensor", "share", "quality", "quantity", "unit", "usable", "flow_q", "pressure_q", "head_q", "level_q",
    "demand_q", "missing", "stuck", "spike", "range", "drift", "clock", "no_drawing", "candidates", "flags_meaning",
    "missing_meaning", "stuck_meaning", "spike_meaning", "range_meaning", "drift_meaning", "clock_meaning",
    "number", "key_zone", "key_pressure", "key_flow", "key_source", "lost_all", "first_pipe", "note_interval",
)  # fmt: skip

_OWN = {
    "sites": ("Sites", "Sites"),
    "events": ("Events", "Événements"),
    "series": ("Series", "Courbes"),
    "kpi": ("Key figures", "Indicateurs"),
    "audit": ("Audit", "Journal"),
    "skip": ("Skip to content", "Aller au contenu"),
    "main_nav": ("Main", "Principal"),
    "site_nav": ("Site", "Site"),
    "language": ("Français", "English"),
    "login": ("Log in", "Se connecter"),
    "logout": ("Log out", "Se déconnecter"),
    "name": ("Name", "Nom"),
    "password": ("Password", "Mot de passe"),
    "loading": ("Loading …", "Chargement …"),
    "computing": ("Computing from all readings …", "Calcul sur toutes les mesures …"),
    "failed": ("This did not work: {why}", "Échec : {why}"),
    "offline": ("Not connected: what you see may be old.", "Hors ligne : l’affichage peut dater."),
    "updated": ("Updated: {site}", "Mis à jour : {site}"),
    "site": ("Site", "Site"),
    "open_leaks": ("Open leaks", "Fuites en cours"),
    "new": ("New", "Nouvelles"),
    "usable_week": ("Usable, last 7 days", "Utilisable, 7 derniers jours"),
    "until": ("Readings until", "Mesures jusqu’au"),
    "last_run": ("Last run", "Dernier passage"),
    "all": ("All", "Tous"),
    "only_open": ("Open and confirmed", "En cours et confirmées"),
    "show": ("Show", "Afficher"),
    "no_events": ("No event.", "Aucun événement."),
    "zoom_in": ("Zoom in", "Agrandir"),
    "zoom_out": ("Zoom out", "Réduire"),
    "zoom_all": ("Show all", "Tout afficher"),
    "left": ("Earlier", "Plus tôt"),
    "right": ("Later", "Plus tard"),
    "map_help": (
        "Drag to move, wheel or + and − to zoom, arrow keys to move.",
        "Glisser pour déplacer, molette ou + et − pour agrandir, flèches pour déplacer.",
    ),
    "series_help": (
        "Drag over a part to enlarge it; + and − to zoom, arrow keys to move, 0 for all.",
        "Glisser sur une partie pour l’agrandir ; + et − pour agrandir, flèches pour déplacer, 0 pour tout.",
    ),
    "map_of": ("Map of {name}: {events} open events", "Plan de {name} : {events} événements en cours"),
    "map_event": ("Map of the zone to search", "Plan de la zone de recherche"),
    "chart_of": (
        "{sensor}, {quantity} in {unit}, {start} to {end}: {low} to {high} measured",
        "{sensor}, {quantity} en {unit}, du {start} au {end} : {low} à {high} mesurés",
    ),
    "measured": ("measured", "mesuré"),
    "expected": ("expected, ± 2 standard errors", "attendu, ± 2 erreurs types"),
    "table": ("As a table", "En tableau"),
    "time": ("Time", "Heure"),
    "expected_short": ("expected", "attendu"),
    "nothing_measured": ("No reading in this time.", "Aucune mesure sur cette période."),
    "between": ("{low} to {high}", "{low} à {high}"),
    "flow_raised": ("when raised", "au signalement"),
    "month": ("if not repaired, a month", "sans réparation, par mois"),
    "zone": ("Zone (pipes), probability", "Zone (conduites), probabilité"),
    "zone_text": ("{length} m ({n}), {p}", "{length} m ({n}), {p}"),
    "history": ("History", "Historique"),
    "who": ("Who", "Qui"),
    "what": ("What", "Quoi"),
    "why": ("Why", "Pourquoi"),
    "when": ("When", "Quand"),
    "run": ("run {n}", "passage {n}"),
    "say": ("What do you know of it?", "Qu’en savez-vous ?"),
    "confirm": ("A leak was found", "Une fuite a été trouvée"),
    "dismiss": ("It was no leak", "Ce n’était pas une fuite"),
    "repair": ("The leak was repaired", "La fuite a été réparée"),
    "say_pipe": ("In which pipe (if known)", "Sur quelle conduite (si connue)"),
    "say_time": ("When (local time; now if empty)", "Quand (heure locale ; maintenant si vide)"),
    "save": ("Save", "Enregistrer"),
    "saved": ("Saved: {status}", "Enregistré : {status}"),
    "reader_only": ("You may look only.", "Vous pouvez seulement consulter."),
    "see_series": ("See its readings", "Voir ses mesures"),
    "runs": ("Runs", "Passages"),
    "outcome": ("Outcome", "Résultat"),
    "meters_hidden": (
        "Customers' meters are never shown on their own.",
        "Les compteurs des abonnés ne sont jamais montrés seuls.",
    ),
    "figure": ("Figure", "Indicateur"),
    "value": ("Value", "Valeur"),
    "interval": ("Interval", "Intervalle"),
    "remark": ("Remark", "Remarque"),
    "missing_keys": ("Missing in site.toml", "Manque dans site.toml"),
    "period": ("{start} to {end}", "du {start} au {end}"),
    "whole": ("Whole service", "Service entier"),
    "district": ("District {name}", "Secteur {name}"),
    "address": ("Address", "Adresse"),
    "yes": ("yes", "oui"),
    "no": ("no", "non"),
    "back": ("All events", "Tous les événements"),
}  # fmt: skip


def texts(code: str) -> dict[str, str]:
    """Return the texts in a language, en or fr."""
    shared = language(code).words
    return {key: shared[key] for key in _SHARED} | {
        key: kept_together(pair[code == "fr"], code) for key, pair in _OWN.items()
    }
