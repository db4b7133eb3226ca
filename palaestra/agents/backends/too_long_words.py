"""The words in which servers say that a prompt is too long.

They differ from server to server and from version to version, but all of them put a quantity of what goes into the model
(prompt, input, context, tokens, ...) next to an excess (exceeds, too long, at most 4096, reduce, ...). `says_so` looks for
that, sentence by sentence, and leaves out what only sounds like it: rates, money and time-outs, limits on the
answer alone, other things that are too large. Names are read as
words: "context_length_exceeded", "ContextWindowExceededError".
"""

from __future__ import annotations

import re
from functools import lru_cache

_MOST_CHARS = 20_000

_IN = (
    r"\b(?:prompts?|inputs?|contexts?|messages?|conversations?|dialog(?:ue)?s?|histor(?:y|ies)|quer(?:y|ies)|sequences?|request"
    r"|texts?|chats?|payload|ctx|kv cache)\b"
)
_TOKENS = (
    r"(?<!output )(?<!completion )(?<!generated )(?<!new )(?<!max )(?<!maximum )(?<!response )(?<!thinking )(?<!budget )"
    r"\btokens?\b"
)
_QUANTITY = (
    r"\b(?:lengths?|len|sizes?|counts?|numbers?|totals?|tokens?|characters?|chars|windows?|limits?|contexts?|capacity|maximum"
    r"|max)\b"
)
_MORE = r"(?:longer|larger|greater|bigger|more|higher) than"
_OVER = (
    rf"(?:\bexceed\w*|\bsurpass\w*|\boverflow\w*|\bover(?= (?:the|your|its|our|\d))|\bbeyond\b|\babove\b|{_MORE}"
    r"|(?:\d\)?|tokens) ?> ?)"
)
_TOO = r"(?:too (?:long|large|big)|over ?long|oversized?)"
_LIMIT = r"max(?:imum)?|limit"
_AT_MOST = (
    r"(?:<=|≤|(?:less|fewer|smaller|no more) than|at most|up to|within"
    r"|(?:should|must|can|cannot|may)(?: not)? (?:be|exceed|have)\b)"
)

_WORDS = tuple(
    re.compile(pattern)
    for pattern in (
        # what goes in is too long
        rf"{_IN}.{{0,60}}?\b{_TOO}",
        rf"\btoo (?:long|large|many|much)\b.{{0,20}}?(?:{_IN}|{_TOKENS})|\boversized? {_IN}",
        # it exceeds something
        rf"(?:{_IN}|{_TOKENS}).{{0,120}}?{_OVER}.{{0,90}}?(?:{_QUANTITY}|\d)",
        r"\b(?:context|(?:input|prompt) tokens?|tokens? (?:limit|count))\b(?: \w+){0,3} (?:exceed|overflow)",
        rf"{_OVER}.{{0,60}}?(?:\bcontext\b|\bctx\b|\b(?:prompt|input|sequence|seq) (?:length|len)\b|{_TOKENS} limit)",
        rf"{_OVER} (?:the )?model'?s? (?:{_LIMIT}|token|length)",
        # there is a largest size of it
        r"\b(?:max(?:imum)?|model'?s?)(?: \w+){0,2}? (?:context|prompt|input|sequence|model|seq) "
        r"(?:length|len|window|size|tokens?|characters?)\b.{0,40}?\d",
        r"\bmax(?:imum)?(?: number of)?(?: allowed)? tokens (?:is|of|allowed|:)[^\d]{0,20}\d+ (?:exceed|but)",
        rf"(?:{_IN}|\btokens\b).{{0,60}}?{_AT_MOST}(?:(?!at least|greater|more|minimum).){{0,30}}?\d{{3}}",
        r"\brange of (?:.{0,30} )?input\b.{0,40}\[\d",
        r"\bexpected max length: \d+, actual: \d+|\bmessages\[\d+\]\.content\W{1,3}string too long",
        # it does not fit, is full, has to be shorter
        r"\bcontext\b.{0,50}?\b(?:full|exhausted|used up)\b|\bkv cache is full\b",
        rf"{_IN}.{{0,60}}?\bout of (?:bounds|range)\b.{{0,40}}?\d{{3}}",
        r"\bmodels? (?:\w+ ){0,4}?(?:accept|support|take|handle|allow)s? "
        r"(?:only |at most |up to |no more than |a maximum of )*\d{3}",
        rf"{_IN}.{{0,40}}?\breached (?:its|the) (?:{_LIMIT})|\bonly \d+.{{0,20}}? fit\b",
        r"\bmore than \d+ (?:input |prompt )?tokens\b",
        r"\b(?:reached|hit|exhausted|out of|used up) .{0,20}?\bcontext\b",
        rf"{_TOKENS} (?:limit|budget) (?:\w+ ){{0,2}}reached",
        r"(?:not|n't|cannot) fit.{0,40}?\b(?:context|window|kv|model)\b",
        rf"\b(?:reduce|shorten|truncate|decrease|compress|trim|condense)\b.{{0,40}}?(?:{_IN}|\blength\b)",
        r"\b(?:input|prompt|context) (?:length|size|window) (?:error|invalid)",
        # nothing is left for the answer
        r"\bmax (?:completion )?tokens\b.{0,30}?(?:got -\d|\(-\d)",
    )
)
_CHINESE = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:输入|上下文|提示|消息|对话|历史|文本|总长度|prompt|input|messages?|context|tokens?|token ?数).{0,30}?"
        r"(?:超(?:过|出|长|限)|过长|太长|过大|太多|过多|大于|上限)",
        r"(?:超(?:过|出|长|限)|大于).{0,20}?(?:上下文|输入|最大长度|长度限制|token)",
        r"(?:コンテキスト|入力|プロンプト|トークン).{0,30}?(?:超え|超過|長すぎ|大きすぎ)",
    )
)
_RATES = re.compile(
    r"\bper[ -](?:minute|min|day|hour|second|month)|\b[rt]p[mdsh]\b|\brate\b.{0,3}limit|\brate exceeded|\btoo many requests"
    r"|\bquotas?\b|\bbilling|\bcredits?\b|\bbalance\b|\bafford|\bthrottl|\bconcurren|\bmonthly\b|\bdaily\b|\busage limits?"
    r"|\bpricing\b|\bsubscription|\bupgrade your\b|频率|速率|额度|配额|余额|欠费|并发|每分钟|资源包|使用上限|限额"
)
_TIMES = re.compile(r"\b(?:deadline|time ?out) ?exceed|\b(?:took|takes|taking) too long|\bqueues?\b.{0,20}\btoo long")
_ANSWER = re.compile(
    r"\bmax(?:imum)? (?:completion |new |output )?tokens\b|\bbudget tokens\b|\bthinking budget\b|\bgenerated text|输出"
    r"|\b(?:output|completion|response|generated) (?:tokens?|length)"
)
_WENT_IN = re.compile(r"\b(?:prompts?|inputs?|messages?|conversation|context)\b(?! window\W* for)|输入|上下文")
_THINGS = re.compile(
    r"\b(?:images?|pictures?|photos?|videos?|audio|files?|uploads?|attachments?|pdfs?|documents?|tools?|functions?|schemas?"
    r"|propert(?:y|ies)|enum|names?|descriptions?|ids?|keys?|headers?|users?|seeds?|stop|arrays?|logprobs|temperature|top p"
    r"|penalt(?:y|ies)|dimensions?|pixels?|recursion|retries|url|seconds|blocks?|metadata|response format|batch)\b"
    r"|图片|图像|文件|工具|音频|视频|名称"
)
_COUNTED = re.compile(rf"{_TOKENS}|\bcontext\b|\bprompts? (?:is|was|length)|physical batch size")
_CONTEXT = r"\bcontext (?:length|window|size|limit)\b"
_SURE = re.compile(rf"{_CONTEXT}.{{0,60}}?(?:{_OVER}|\d)|{_OVER}.{{0,60}}?{_CONTEXT}")
_ASKED = re.compile(r"\bmax (?:completion |new |output )?tokens\D{0,60}?(\d+)")
_HELD = re.compile(r"\bcontext (?:length|window|size)\D{0,20}(\d+)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TAG = re.compile(r"<[a-zA-Z/!][^<>]*>")
_SENTENCE = re.compile(r"(?:[.!?;](?=\s|$)|[。；！？]|\n)+")


def says_so(text: str) -> bool:
    """Whether a text says that what was put to a model is too long for it.

    Args:
        text: The message of an error, or its code or type.
    """
    return _judged(text[:_MOST_CHARS]) == "too long"


def says_otherwise(text: str) -> bool:
    """Whether a text is about another limit: on rates, on money, on time, on the answer, or on another thing."""
    return _judged(text[:_MOST_CHARS]) == "other"


def says_outright(text: str) -> bool:
    """Whether a text says that the context is exceeded, and nothing of rates."""
    plain = _plain(text[:_MOST_CHARS])
    return _SURE.search(plain) is not None and _RATES.search(plain) is None


@lru_cache(maxsize=256)
def _judged(text: str) -> str:
    """Return what a text is about: "too long", "other" or nothing."""
    plain = _plain(text)
    if _RATES.search(plain) or _TIMES.search(plain):
        return "other"
    if (asked := _ASKED.search(plain)) and (held := _HELD.search(plain)) and int(asked[1]) >= int(held[1]):
        return "other"  # no prompt at all would leave room for such an answer
    found = ""
    for sentence in _SENTENCE.split(plain):
        about_answer = _ANSWER.search(sentence) is not None and _WENT_IN.search(sentence) is None
        about_thing = _THINGS.search(sentence) is not None and _COUNTED.search(sentence) is None
        is_long = any(words.search(sentence) for words in _WORDS) or any(words.search(sentence) for words in _CHINESE)
        if is_long and (not about_answer or "got -" in sentence) and not about_thing:
            return "too long"
        if about_answer or about_thing:
            found = "other"
    return found


def _plain(text: str) -> str:
    """Return a text in small letters with the names in it as words."""
    plain = _HUMP.sub(" ", _TAG.sub(" ", text)).replace("_", " ").replace("`", "").lower()
    return plain.replace("input should", "value should")  # pydantic's word for the value of any field


__all__ = ["says_otherwise", "says_outright", "says_so"]
