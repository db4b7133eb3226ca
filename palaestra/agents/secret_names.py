"""Which names of options, headers, query values and environment variables are those of secrets, and which surely are not.

A name is read as its words (`clientSecret`, `client-secret` and `CLIENT_SECRET` are the same two), and its last word decides,
with the word before it: a `signing_key` is a secret and a `sort_key` is not, a `token` is one and a `pad_token` is not.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 200  # characters of a name that are looked at: its end
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRETS = _words(
    "secret secrets password passwords passwd passphrase passphrases passcode passcodes authorization cookie cookies "
    "credential credentials creds auth bearer jwt jwts dsn sig apikey apikeys passkey otp totp sessid phpsessid jsessionid "
    "sessionid connstr htpasswd "
)
_FOLLOWING = _words(  # may follow the word that decides
    "value plain plaintext raw b64 base64 encoded hex old new prod production dev development test staging live default "
    "primary secondary backup main pem "
)
_COUNTS = _words("num n count max min total")

_KEY_OF = _words(
    "api access secret private subscription functions function account auth authentication authorization signing sign "
    "signature encryption encrypt decryption master service server client ssh rsa ed25519 ecdsa pgp gpg tls ssl storage "
    "admin deploy license licence hmac jwt webhook shared consumer app application developer session write read ingest "
    "instrumentation cipher aes crypto symmetric fernet x openai anthropic azure google gemini groq mistral cohere "
    "huggingface hf together xai deepseek openrouter fireworks replicate stripe perplexity nvidia wandb langsmith litellm "
    "aws gcp tavily serper serpapi brave sendgrid twilio datadog github gitlab slack telegram discord "
)
_KEY_ID_OF = _words("api access secret private subscription functions account")
_KEY_OF_DATA = _words(  # in capitals, any other key is one of an account
    "task sort primary foreign cache group partition public row column dict map json index hash hot short arrow enter "
    "escape id metric label name text argument item result answer lookup join unique composite object config state registry "
    "project routing batch message any press next first last main "
)
_TOKEN_OF_TEXT = _words(  # tokens of a tokenizer, or of pages of a list, not of an account
    "pad eos bos unk sep cls mask stop start end max min per new first last image audio video text think thinking prefix "
    "suffix special eot eom eod next previous prev page continuation pagination cursor separator newline placeholder begin "
    "final target word input output prompt completion cached reasoning sampled generated sub single one each any by of "
    "speech vision control role turn tool sequence draft language space blank no oov empty filler pause out total mean "
)
_TOKENS_OF = _words("api access auth oauth bearer refresh session bot secret push personal service csrf xsrf login")
_PASS_OF = _words(
    "db database smtp imap pop mail email user admin ftp sftp redis mysql pg postgres mongo rabbitmq root http https proxy "
    "basic login my ldap vpn wifi ssh key keystore cert mqtt account auth "
)
_SIGNATURE_OF_CODE = _words(
    "thought thinking reasoning function method type call tool python json class time key chat template "
)
_PAT_OF = _words("github gitlab azure ado devops bitbucket personal")
_SESSION_OF_DESKTOP = _words("xdg term iterm terminal gnome desktop windows wt login tmux")
_FOLDER = re.compile(r"(?:(?:INIT|ORIG|ORIGINAL|START|LOGICAL|PHYSICAL|BUILD|WORK|PROJECT|SHELL|SAVED|CUR)_|OLD)?PWD")
_PAIRS = frozenset(
    {
        *(("connection", "string"), ("conn", "string"), ("conn", "str"), ("connection", "uri"), ("connection", "url")),
        *(("webhook", "url"), ("sas", "url"), ("authorization", "code"), ("auth", "code"), ("client", "assertion")),
        *(
            ("saml", "response"),
            ("saml", "assertion"),
            ("code", "verifier"),
            ("connect", "sid"),
            ("seed", "phrase"),
            ("recovery", "phrase"),
        ),
    }
)
_GLUED = re.compile(r"(.+?)(keys?|tokens?|secrets?|passwords?|passwd|passphrase|credentials?|pwd|string|id)")
_BEFORE_GLUED = _KEY_OF | _TOKENS_OF | _PASS_OF | _words("client user connection conn old new azuread")
_TABLES = _words("headers cookies")
_PUBLIC = _words(  # last words of headers and query values that say how, where and in what form to answer, or who asks
    "accept agent arch beta betas channel charset city connection control country currency debug deployment encoding engine "
    "env environment feature features format host interval lang language languages length level limit locale location mode "
    "model name offset origin os page platform priority profile provider purpose referer referrer region regions retries "
    "revision route runtime schema size sort stage stream tier timeout timezone title ttl type tz units verbose version "
    "versions view width height zone zones "
)


def is_secret_name(name: str) -> bool:
    """Tell whether an option, a header or an environment variable of this name holds a secret."""
    return _is_secret_name(name[-_LONGEST:])


def is_secret_table(name: str) -> bool:
    """Tell whether a mapping of this name holds secrets under whatever names: headers, cookies, the query of all requests."""
    words = _words_of(name[-_LONGEST:])
    return bool(words) and (words[-1] in _TABLES or words[-2:] in (("default", "query"), ("extra", "query")))


def is_public_name(name: str) -> bool:
    """Tell whether a header or query value of this name is an ordinary word: a region, a version, a format, a title.

    Such values are masked where they are given, as all headers and queries are, but not looked for elsewhere.
    """
    words = [word for word in _words_of(name[-_LONGEST:]) if not word.isdigit()]
    return bool(words) and words[-1] in _PUBLIC and not is_secret_name(name)


@lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    words = _words_of(name)
    while words and (words[-1].isdigit() or (len(words) > 1 and words[-1] in _FOLLOWING)):
        words = words[:-1]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if words[0] in _COUNTS and last.endswith("s"):
        return False
    if last in _SECRETS or (before, last) in _PAIRS:
        return True
    match last:
        case "key" | "keys":
            return before in _KEY_OF or (name.isupper() and last == "key" and before not in _KEY_OF_DATA and bool(before))
        case "token":
            return before not in _TOKEN_OF_TEXT
        case "tokens":
            return before in _TOKENS_OF
        case "pwd":
            return _FOLDER.fullmatch(name) is None
        case "pass":
            return before in _PASS_OF
        case "signature":
            return before not in _SIGNATURE_OF_CODE
        case "pat":
            return before in _PAT_OF
        case "id":
            if before == "session":
                return words[0] not in _SESSION_OF_DESKTOP
            return before == "key" and len(words) > 2 and words[-3] in _KEY_ID_OF
    return False


def _words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case; those written together without a sign between them are parted."""
    words: list[str] = []
    for word in _WORD.findall(name):
        word = word.lower()
        glued = None if word in _SECRETS else _GLUED.fullmatch(word)
        words += glued.groups() if glued and glued[1] in _BEFORE_GLUED else (word,)
    return tuple(words)


__all__ = ["is_public_name", "is_secret_name", "is_secret_table"]
