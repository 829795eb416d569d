"""Whatever is asked that the interface's own description allows, or does not, it answers as described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sample_results as sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web_site import make

schemathesis = pytest.importorskip("schemathesis")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from leakdetect.web.app import create_app  # noqa: E402
from leakdetect.web.limits import Limiter  # noqa: E402

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PATHS = [
    "/api/me", "/api/login", "/api/logout", "/api/words/{lang}", "/api/sites", "/api/audit", "/api/sites/{site}/events",
    "/api/sites/{site}/event", "/api/sites/{site}/news", "/api/sites/{site}/words", "/api/sites/{site}/map",
    "/api/sites/{site}/quality",
    "/api/sites/{site}/series", "/api/sites/{site}/kpi",
]  # fmt: skip
KNOWN = {"id": ["burst-1", "growing-1"], "sensor": ["in", sample.NASTY], "event": ["burst-1", "mended-1"]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = make(tmp_path_factory.mktemp("sites") / "grid")
    return create_app([folder], limiter=Limiter(100_000, 1.0))


@pytest.fixture(scope="module")
def schema(page: Any) -> Any:
    return schemathesis.openapi.from_asgi("/api/openapi.json", page)


def test_every_path_is_asked(page: Any) -> None:
    assert sorted(page.openapi()["paths"]) == sorted([*PATHS, "/api/live"])  # which never ends


WRONG = [p for p in PATHS if p.endswith(("login", "lang}", "event", "words", "map", "series", "kpi", "news", "audit"))]


@pytest.mark.parametrize(
    ("mode", "path"), [*(("positive", path) for path in PATHS), *(("negative", path) for path in WRONG)]
)
def test_answers_are_as_described(schema: Any, page: Any, mode: str, path: str) -> None:
    [method] = [m for m in page.openapi()["paths"][path] if m in {"get", "post"}]
    operation = schema[path][method.upper()]
    made = schemathesis.GenerationMode(mode)
    codes = set()
    token = page.state.page.gate.session(None).token

    # Names that are not known end in 404 at once: half of the examples have those that are.
    @settings(max_examples=6, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(generation_mode=made), known=st.booleans(), which=st.integers(0, 1))
    def ask(case: Any, known: bool, which: int) -> None:
        if known and "site" in (case.path_parameters or {}):
            case.path_parameters = {**case.path_parameters, "site": "grid"}
        for part in (case.query, case.body):
            if known and isinstance(part, dict):
                part.update({key: KNOWN[key][which] for key in KNOWN if key in part})
        answer = case.call(headers={"X-CSRF-Token": token})
        codes.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert codes <= {200, 204, 400, 401, 403, 404, 405, 409, 413, 421, 422, 429}
