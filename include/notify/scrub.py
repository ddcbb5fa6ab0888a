"""Blacks out secrets in texts that leave this bundle: messages, stored errors.

It knows the forms of the secrets that this bundle and its neighbours handle. Lower-case hex of 64 characters is
left alone: those are the hashes of prompts, data and model files.
"""

from __future__ import annotations

import re

MASK = "***"

_NAMES = (
    r"(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|encryption[_-]?key"
    r"|secret[_-]?key|authorization|webhook(?:[_-]?(?:url|endpoint))?|credentials?|(?<=[_-])pass)"
)
_SENSITIVE_FIELD = re.compile(rf"(?:^|[_.-]){_NAMES}$|pass(?:word|wd|phrase)$", re.IGNORECASE)
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_QUOTE = r"(?:\\{0,3}[\"']|&(?:quot|apos|#34|#39|#x27);)"
"""As it is, inside of a JSON text inside of another one, and in HTML."""
_NOTHING = rf"{_QUOTE}?{re.escape(MASK)}|(?:null|none|true|false)(?![^\s,;}}\])])"
_IS = r"(?>\s{0,5}(?:=>|[=:]|%3d)\s{0,5})"

# Every repetition that does not end a pattern is bounded, so that no text, however long, takes more than linear time.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
    # Webhooks: the address itself is the secret.
    (
        re.compile(r"https?://[^\s\"'<>]{0,300}?(?:hooks\.slack\.com|webhook)[^\s\"'<>\\]*", re.IGNORECASE),
        "https://" + MASK,
    ),
    (re.compile(r"/services/T[0-9A-Za-z]+/[^\s\"'<>\\]*"), f"/services/{MASK}"),
    (re.compile(r"\b(webhooks?/)[0-9]{1,25}/[^\s\"'<>\\]+", re.IGNORECASE), rf"\1{MASK}"),
    # user:password@host, as in mongodb://, amqp://, postgresql://; up to the last @, where the password is not encoded
    (
        re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://)[^\s/:@\"']{0,200}:(?!\d{1,5}[/?])[^\s\"'<>]{1,500}@", re.IGNORECASE),
        rf"\1{MASK}@",
    ),
    (re.compile(r"\b(?:bot)?\d{6,12}(?::|%3a)[A-Za-z0-9_-]{30,}", re.IGNORECASE), MASK),  # Telegram
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), MASK),  # OpenAI
    (re.compile(r"\bxai-[A-Za-z0-9]{16,}"), MASK),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{8,}"), MASK),  # Slack
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}"), MASK),
    (re.compile(r"\bAKIA[0-9A-Z]{16}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]*"), MASK),  # JSON web token
    (re.compile(r"\b(Bearer|Basic)\s{1,5}[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # name=value, "name": "value", name: [b'value'], and a quoted value whose end has been cut off. Quotes stay, and so
    # does what is no secret: JSON is JSON afterwards.
    (
        re.compile(
            rf"({_NAMES}{_QUOTE}?{_IS}(?>[\[({{]{{0,2}}\s{{0,5}}))(?!{_NOTHING})(?:"
            rf"[bru]{{0,2}}(?P<quote>{_QUOTE})(?:(?!(?P=quote))(?:\\.|[^\\])){{1,1000}}(?P=quote)"
            rf"|[bru]{{0,2}}{_QUOTE}?(?:(?!{_QUOTE})[^\s,;&])+)",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\1\g<quote>{MASK}\g<quote>",
    ),
    # --password value
    (
        re.compile(
            rf"((?<!\S)--?[a-z-]{{0,30}}{_NAMES}\s{{1,5}})(?!{re.escape(MASK)})[^\s\"'\\-][^\s\"'\\]*", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
    # 32 bytes in base64 (encryption keys), Binance's 64 mixed characters
    (re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{43}="), MASK),
    (re.compile(r"\b(?=[A-Za-z0-9]{64}\b)(?=[A-Z0-9]{0,63}[a-z])(?=[a-z0-9]{0,63}[A-Z])[A-Za-z0-9]{64}"), MASK),
)


def scrub(text: str) -> str:
    """Return the text with every secret that is recognised replaced by `***`, and half characters by `?`.

    A half character (a lone surrogate, as in the name of a file that is not UTF-8) can be neither stored nor sent.

    >>> scrub("POST mongodb://ops:hunter2@db/ failed")
    'POST mongodb://***@db/ failed'
    """
    text = text.encode("utf-8", "replace").decode()
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def is_sensitive_name(name: str) -> bool:
    """Return whether a field of this name holds a secret as a whole (`api_key`, `Webhook URL`, `clientSecret`)."""
    return _SENSITIVE_FIELD.search(_CAMEL_HUMP.sub("_", name.strip().replace(" ", "_"))) is not None


def excerpt(text: object, limit: int = 200) -> str:
    """Return the beginning of a text without secrets; scrubbed before it is cut: half a secret is not recognised."""
    return scrub(str(text))[:limit]
