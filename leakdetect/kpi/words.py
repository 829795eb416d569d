"""Key figures in words, English and French: their names, what is said of them, what is missing."""

from __future__ import annotations

from collections.abc import Mapping

LABELS: Mapping[str, tuple[str, str]] = {
    "min_night_flow": ("minimum night flow", "débit minimum nocturne"),
    "nights": ("nights counted", "nuits comptées"),
    "night_use": ("legitimate night use", "usage nocturne légitime"),
    "night_day_factor": ("night-day factor", "facteur nuit-jour"),
    "real_losses_night": ("real losses by night flow", "pertes réelles par le débit nocturne"),
    "system_input": ("system input volume", "volume introduit"),
    "water_supplied": ("water supplied", "volume mis en distribution"),
    "billed": ("billed consumption", "volume comptabilisé"),
    "unbilled": ("unbilled consumption", "volume sans comptage et de service"),
    "water_losses": ("water losses", "pertes en eau"),
    "apparent_losses": ("apparent losses", "pertes apparentes"),
    "real_losses": ("real losses", "pertes réelles"),
    "non_revenue_water": ("non-revenue water", "eau non facturée"),
    "non_revenue_share": ("non-revenue water, share", "eau non facturée, part"),
    "average_pressure": ("average pressure", "pression moyenne"),
    "mains": ("length of mains", "linéaire hors branchements"),
    "uarl": ("unavoidable losses (UARL)", "pertes inévitables (UARL)"),
    "ili": ("infrastructure leakage index (ILI)", "indice de fuites structurelles (IFS)"),
    "losses_per_connection": ("real losses per connection", "pertes réelles par branchement"),
    "losses_per_mains": ("real losses per km of mains", "pertes réelles par km"),
    "p104_3": ("P104.3 network yield", "P104.3 rendement du réseau"),
    "p104_3_threshold": ("yield that the decree asks for", "rendement seuil du décret"),
    "p105_3": ("P105.3 uncounted volumes per km", "P105.3 indice linéaire des volumes non comptés"),
    "p106_3": ("P106.3 losses per km", "P106.3 indice linéaire de pertes en réseau"),
    "daily_volume": ("water supplied a day", "volume distribué par jour"),
    "eu_in_scope": ("to be assessed under Article 4(3)", "évaluation due selon l'article 4(3)"),
    "leaks_raised": ("leaks raised", "fuites signalées"),
    "leak_volume": ("lost by known leaks", "volume perdu par les fuites connues"),
    "cost_of_losses": ("cost of real losses", "coût des pertes réelles"),
    "energy_of_losses": ("energy of real losses", "énergie des pertes réelles"),
    "co2_of_losses": ("CO2 of real losses", "CO2 des pertes réelles"),
    "saved_volume": ("saved by finding leaks earlier", "économisé en trouvant les fuites plus tôt"),
    "saved_money": ("worth of it", "sa valeur"),
    "programme_cost": ("cost of finding leaks", "coût de la recherche de fuites"),
    "return_on_investment": ("return on it", "retour sur investissement"),
}
"""Name of every figure: English, French."""

GROUPS: Mapping[str, tuple[str, str]] = {
    "night": ("Night flow", "Débit nocturne"),
    "balance": ("Water balance (IWA)", "Bilan en eau (IWA)"),
    "losses": ("Leakage index", "Indice de fuites"),
    "sispea": ("SISPEA indicators (France)", "Indicateurs SISPEA"),
    "directive": ("Directive (EU) 2020/2184, Article 4(3)", "Directive (UE) 2020/2184, article 4(3)"),
    "money": ("Leaks, money, CO2", "Fuites, argent, CO2"),
}
"""Headings."""

NOTES: Mapping[str, tuple[str, str]] = {
    "assumed_night_use": ("0.6 L/h an inhabitant assumed", "0,6 L/h par habitant, supposé"),
    "assumed_n1": ("N1 from 0.5 to 1.5, 1 taken", "N1 de 0,5 à 1,5, pris à 1"),
    "assumed_unauthorised": ("0.25 % drawn without right assumed", "0,25 % puisé sans droit, supposé"),
    "assumed_price": ("price of water assumed", "prix de l'eau supposé"),
    "drawn_pressure": ("pressure of the model", "pression du modèle"),
    "logger_pressure": ("mean of the loggers", "moyenne des capteurs"),
    "drawn_mains": ("length of the model", "longueur du modèle"),
    "scaled_volumes": ("yearly volumes in proportion to the days", "volumes annuels au prorata des jours"),
    "not_a_year": ("not twelve months: indicative", "pas douze mois : indicatif"),
    "by_night_flow": ("real losses by night flow", "pertes réelles par le débit nocturne"),
    "by_balance": ("real losses by the water balance", "pertes réelles par le bilan"),
    "below_zero": ("below zero: check the keys", "négatif : vérifier les clés"),
    "small_network": ("network too small for the index", "réseau trop petit pour l'indice"),
    "low_pressure": ("pressure below 25 m", "pression sous 25 m"),
    "meets_threshold": ("meets the threshold", "atteint le seuil"),
    "below_threshold": ("below the threshold", "sous le seuil"),
    "nights_spread": ("interval: 80 % of nights", "intervalle : 80 % des nuits"),
    "leak_interval": ("interval of leak flows", "intervalle des débits de fuite"),
    "gaps": ("readings have gaps", "mesures lacunaires"),
    "none_given": ("none given", "aucun indiqué"),
    "limits_95": ("interval: 95 % limits", "intervalle : limites à 95 %"),
    "assumed_uncertainty": ("uncertainty of volumes assumed", "incertitude des volumes supposée"),
    "still_open": ("some still open", "certaines encore ouvertes"),
}
"""What is said of a figure."""

MISSING: Mapping[str, tuple[str, str]] = {
    "readings": ("readings of more whole days", "des mesures de plus de jours entiers"),
    "detect": ("a first run of leakdetect detect", "un premier leakdetect detect"),
}
"""What is missing where it is no key of site.toml."""

TEXTS: Mapping[str, tuple[str, str]] = {
    "figure": ("figure", "indicateur"),
    "value": ("value", "valeur"),
    "unit": ("unit", "unité"),
    "interval": ("interval", "intervalle"),
    "remark": ("remark", "remarque"),
    "district": ("District {name}", "Secteur {name}"),
    "whole": ("Whole service", "Service entier"),
    "missing": ("missing in site.toml", "manque dans site.toml"),
    "wanted": ("wanted for", "nécessaire pour"),
    "period": ("{site}: {since} to {until}", "{site} : {since} à {until}"),
    "yes": ("yes", "oui"),
    "no": ("no", "non"),
}
"""Words of the table."""


def unit(name: str, code: str) -> str:
    """Return a unit as it is printed."""
    if name in {"1", "0/1"}:
        return ""
    parts = (("j" if part == "d" and code == "fr" else part) for part in name.replace("m3", "m³").split("/"))
    return "/".join(parts)


def say(words: Mapping[str, tuple[str, str]], key: str, code: str) -> str:
    """Return a word in the language `code`, en or fr; the key itself where there is none."""
    pair = words.get(key)
    return key if pair is None else pair[code == "fr"]
