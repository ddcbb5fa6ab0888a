"""What can go wrong, sorted by what helps: correcting the input, or trying again.

The retry policy of the DAGs reads nothing but these classes: a :class:`BadInputError` fails a task
at once, a :class:`TransientError` is tried again. Every message names the thing, the value and the
remedy.
"""


class TradingOpsError(Exception):
    """Base of every error that this bundle raises on purpose."""


class BadInputError(TradingOpsError, ValueError):
    """The request or the data is wrong; trying again cannot help."""


class TransientError(TradingOpsError):
    """Something outside was away, slow or busy; trying again may help."""


class ServiceUnavailableError(TransientError):
    """A service did not answer, answered with a server error, or answered `success: false`."""


class MalformedAnswerError(TransientError):
    """A service answered with something that is not what its contract promises (HTML, bad JSON)."""


class ConfigurationError(TradingOpsError):
    """A setting or a secret is missing or unusable; a person has to correct it."""


class IntegrityError(TradingOpsError):
    """Stored data does not match its checksum, its key or its description."""


class LeaseHeldError(TradingOpsError):
    """Another run holds the claim that this run needs."""


class FencedError(TradingOpsError):
    """A newer try of the same run has taken over; this one must not write any more."""
