"""Types a command, in this process."""

from __future__ import annotations

import sys

import pytest

from leakdetect.cli import main


class Command:
    """Types a command and returns its exit code, stdout and stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["leakdetect", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        assert isinstance(left.value.code, int)
        printed = self._capsys.readouterr()
        return left.value.code, printed.out, printed.err

    def ok(self, *arguments: object) -> str:
        """Type a command that must succeed; return its stdout."""
        code, out, err = self(*arguments)
        assert code == 0 or (code == 10 and arguments[0] == "detect"), err  # which says so of new events
        return out

    def refused(self, *arguments: object) -> str:
        """Type a command that must end with exit code 2 and one line on stderr; return that line."""
        code, _, err = self(*arguments)
        assert code == 2, err
        assert err.startswith("leakdetect: "), err
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        return err
