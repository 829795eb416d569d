"""What runs leave behind: events and their history, the detector's states, what was taken, run records.

SQLite in the site folder, or PostgreSQL by URL. A run's outcome is one transaction: a run that is killed leaves what
was there before.
"""

from leakdetect.store.news import News, news
from leakdetect.store.outbox import Message, Quiet
from leakdetect.store.outcome import Outcome, Saved
from leakdetect.store.sharing import check_apart
from leakdetect.store.state import Progress, cuts, decode, encode
from leakdetect.store.store import Store, open_store

__all__ = [
    "Message",
    "News",
    "Outcome",
    "Progress",
    "Quiet",
    "Saved",
    "Store",
    "check_apart",
    "cuts",
    "decode",
    "encode",
    "news",
    "open_store",
]
