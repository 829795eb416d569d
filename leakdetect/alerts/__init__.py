"""Tells people of events: by webhook, e-mail or a command of their own; what fails waits in the store."""

from leakdetect.alerts.sending import Sender, deliver, test

__all__ = ["Sender", "deliver", "test"]
