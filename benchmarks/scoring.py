"""How fast candidates are scored, against a bare matrix product of the same shape."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np

from leakdetect.core.scoring import change_test, greatest, whiten
from leakdetect.epanet import load_network
from leakdetect.units import M3H

from .registry import Figure, Setting, Target, benchmark
from .speed import best, factorised, model_of, paths

_LARGEST = 20_000_000  # entries of the bare product
_HOURS = 8760


@benchmark(
    "speed",
    Figure("speed.scoring.{}", "GFlop/s"),
    Figure("speed.scoring.{}.of_product", "%", Target(">=", 50.0, small="village")),
    Figure("speed.scoring.{}.memory", "%", Target("<=", 25.0, small="village")),
    Figure("speed.scoring.{}.window_of_product", "%", Target(">=", 50.0, small="village")),
)
def scoring(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Find the best of all links for each hour of a year, and test a window against all links, as the detector does.

    ``of_product`` is the share of the flops of numpy's product of (hours, sensors) and (sensors, links),
    ``window_of_product`` that of (channels, channels) and (channels, links), channels being sensors in two bands;
    ``memory`` the most that the hours took beyond what they were given and gave, by that of the bare product.
    """
    random = np.random.default_rng(0)
    for path in paths(setting):
        setting.note(f"scoring links of {path.name}")
        network = load_network(path)
        with model_of(network) as model:
            demand = model.customers.nominal(np.zeros(1))[0]
            signature = np.ascontiguousarray(factorised(model, demand)[1][:, network.is_pipe] * M3H)
        sensors, links = signature.shape
        hours = int(np.clip(_LARGEST // links, 1, _HOURS))
        white = whiten(random.normal(size=sensors), _covariance(random, sensors))
        rest = random.normal(size=(hours, sensors))
        bare = best(lambda rest=rest, signature=signature: rest @ signature)  # type: ignore[misc]
        fast = best(lambda rest=rest, white=white, signature=signature: greatest(rest, white.whitener, signature))  # type: ignore[misc]
        tracemalloc.start()
        greatest(rest, white.whitener, signature)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        both = np.vstack([signature, signature])
        window = whiten(random.normal(size=2 * sensors), _covariance(random, 2 * sensors))
        one = best(lambda window=window, both=both: change_test(window, both))  # type: ignore[misc]
        product = best(lambda window=window, both=both: window.whitener @ both)  # type: ignore[misc]
        flops = 2e-9 * hours * sensors * links
        yield path.stem, (flops / fast, 100 * bare / fast, 100 * held / (8 * hours * links), 100 * product / one)


def _covariance(random: np.random.Generator, size: int) -> np.ndarray:
    root = random.normal(size=(size, 2 * size))
    return root @ root.T / size
