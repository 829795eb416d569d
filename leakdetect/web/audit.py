"""The audit: who did what from where, a JSON object a line, only ever added to."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leakdetect.errors import InputError

_TAIL = 262_144  # bytes of the file's end that are read for its last lines


class Audit:
    """A file of lines ``{"at", "user", "address", "action", ...}``, or nothing where no file is named.

    Raises
    ------
    InputError
        If the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        if path is not None:
            os.close(self._open(path))

    def note(self, user: str, address: str, action: str, **what: str) -> None:
        """Add a line; on the disk when this returns."""
        if self.path is None:
            return
        at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = {"at": at, "user": user, "address": address, "action": action, **what}
        with self._lock:
            file = self._open(self.path)
            try:
                os.write(file, (json.dumps(line, ensure_ascii=False) + "\n").encode())
                os.fsync(file)
            finally:
                os.close(file)

    def last(self, count: int) -> list[dict[str, Any]]:
        """Return the newest lines, newest first."""
        if self.path is None:
            return []
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL, 0))
            lines = file.read().splitlines()
        whole = lines if size <= _TAIL else lines[1:]
        return [json.loads(line) for line in reversed(whole[-count:])]

    @staticmethod
    def _open(path: Path) -> int:
        try:
            return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}: name another with --audit") from None
