"""What `privacy` says, in English and French; keys as of `privacy.Kind` and `privacy.How`."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "header": "where|what|meters|since|until|kept until|how",
        "input": "readings of households' meters",
        "names": "which column is which meter, or where it is",
        "model": "mean demand at nodes with households' meters, at 12 states of the network",
        "state": "series of households' meters, for the next run",
        "stream": "readings of households' meters, as they were received",
        "none": "nothing of households' meters",
        "own": "your own file: leakdetect does not change or remove it",
        "sealed": "encrypted (AES-SIV), without ids",
        "removed": "removed, being too old",
        "clear": "NOT encrypted: written by an earlier version; run fit and detect again",
        "nothing": "",
        "no_meters": "No block of readings holds households' meters.",
        "key": "Meters go by pseudonyms (HMAC-SHA256); key {name}: {where}.",
        "group": "Shown are sums over at least {k} meters. Kept for {days} days after the last reading.",
        "enforced": "{where}: what it held of meters until {until} was removed.",
        "nothing_old": "Nothing is older than {days} days.",
    },
    "fr": {
        "header": "où|quoi|compteurs|depuis|jusqu'au|conservé jusqu'au|comment",
        "input": "relevés de compteurs de foyers",
        "names": "quelle colonne est quel compteur, ou son emplacement",
        "model": "consommation moyenne aux nœuds équipés de compteurs de foyers, pour 12 états du réseau",
        "state": "séries de compteurs de foyers, pour le prochain passage",
        "stream": "relevés de compteurs de foyers, tels que reçus",
        "none": "rien des compteurs de foyers",
        "own": "votre propre fichier : leakdetect ne le modifie ni ne le supprime",
        "sealed": "chiffré (AES-SIV), sans identifiants",
        "removed": "supprimé, car trop ancien",
        "clear": "NON chiffré : écrit par une version antérieure ; relancez fit et detect",
        "nothing": "",
        "no_meters": "Aucun bloc de relevés ne contient de compteurs de foyers.",
        "key": "Les compteurs portent des pseudonymes (HMAC-SHA256) ; clé {name} : {where}.",
        "group": "Seules des sommes sur au moins {k} compteurs sont montrées. Conservation : {days} jours après le "
        "dernier relevé.",
        "enforced": "{where} : ce qui y restait des compteurs jusqu'au {until} a été supprimé.",
        "nothing_old": "Rien n'a plus de {days} jours.",
    },
}
