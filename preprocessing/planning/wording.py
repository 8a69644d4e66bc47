"""What the names of columns and logs tell."""

import re

__all__ = [
    "CONVERSION_WORDS",
    "event_rank",
    "group_of",
    "id_rank",
    "is_counting",
    "is_naming",
    "is_time",
    "label_of_log",
    "label_rank",
    "time_rank",
    "words_of",
]

_CLICK_WORDS = ("click", "clk", "clicked", "clicks", "clks", "ctr")
CONVERSION_WORDS = (
    *("conversion", "conversions", "convert", "converted", "conv", "cvr", "ctcvr"),
    *("purchase", "purchases", "purchased", "buy", "bought", "pay", "paid", "order"),
    *("orders", "ordered", "install", "installed", "installs", "download", "downloads"),
    *("attributed", "cart", "fav", "favorite", "like", "liked", "likes", "share"),
    *("shared", "follow", "visit", "signup", "register", "deposit"),
)
_PLAIN_WORDS = ("label", "target", "y", "response", "positive")
_DENIALS = ("non", "no", "not", "un")

_IDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "event": (
        ("impression",),
        ("event",),
        ("exposure",),
        ("log",),
        ("row",),
        ("record",),
        ("uuid",),
        ("guid",),
        ("id",),
    ),
    "user": (
        ("user",),
        ("uid",),
        ("member",),
        ("visitor",),
        ("cookie",),
        ("customer",),
        ("device", "id"),
        ("ip",),
    ),
    "item": (
        ("item",),
        ("adgroup",),
        ("ad",),
        ("article",),
        ("product",),
        ("goods",),
        ("sku",),
        ("creative",),
        ("video",),
        ("movie",),
        ("doc",),
        ("news",),
        ("banner",),
        ("app",),
        ("campaign",),
    ),
    "request": (("request",), ("req",), ("search",), ("query",), ("auction",)),
    "session": (("session",), ("visit",)),
}
_ID_ENDINGS = ("id", "ids", "key", "code", "no", "number", "hash")

_TIME_WORDS = (
    *("time", "timestamp", "ts", "datetime", "date", "stamp", "at", "utc", "dt"),
    *("ms", "millis", "when", "start", "end", "created", "updated", "published"),
    *("launched", "registered", "expires"),
)
_OTHER_MOMENTS = (
    *("start", "end", "create", "created", "update", "updated", "birth", "register"),
    *("registered", "launch", "launched", "publish", "published", "first", "last"),
    *("expire", "expires", "session", "attributed", "conversion", "purchase"),
)

_GROUPS = {
    "user": (
        *("user", "uid", "member", "visitor", "gender", "sex", "age", "occupation"),
        *("profile", "cms", "pvalue", "shopping", "income", "education", "marital"),
        *("newbie", "lifecycle", "cookie", "class", "recency", "history"),
        *("ip", "zip", "race"),
    ),
    "item": (
        *("item", "ad", "adgroup", "article", "product", "goods", "sku", "creative"),
        *("video", "movie", "doc", "news", "banner", "cate", "category", "brand"),
        *("price", "campaign", "advertiser", "seller", "shop", "title", "tag", "tags"),
        *("genre", "genres", "author", "topic", "discount", "app", "publisher"),
    ),
    "context": (
        *("device", "os", "browser", "hour", "weekday", "day", "channel", "position"),
        *("slot", "page", "pid", "referrer", "region", "city", "environment", "site"),
        *("surface", "network", "connection", "scene", "query", "platform", "country"),
    ),
}
_NAMING_WORDS = (
    *("id", "ids", "code", "type", "category", "categorical", "cate", "cat", "brand"),
    *("class", "group", "segment", "segid", "level", "gender", "sex", "device", "os"),
    *("channel", "country", "region", "city", "browser", "app", "ip", "pid", "tag"),
    *("tags", "environment", "referrer", "hour", "weekday", "zip", "site", "slot"),
    *("campaign", "customer", "occupation", "model", "language", "user", "item"),
    *("session", "status", "race", "origin", "migration", "state", "key", "hash"),
    *("newbie", "flag", "is", "has"),
)
_COUNTING_WORDS = (
    *("price", "amount", "count", "counts", "cnt", "num", "number", "numerical"),
    *("numeric", "score", "rate", "ratio", "age", "hours", "days", "minutes"),
    *("seconds", "duration", "length", "size", "total", "sum", "mean", "avg", "clicks"),
    *("views", "cost", "bid", "distance", "weight", "spend", "recency", "history"),
    *("gains", "losses", "weeks", "wage", "discount", "dense", "value"),
)


def words_of(name: str) -> list[str]:
    """Splits a name at underscores, spaces, digits and capitals, in lower case."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[A-Za-z]+", spaced)]


def label_rank(name: str) -> int | None:
    """Returns the place in the funnel of a label with this name, None if it is none:
    0 click, 1 a plain word for a label, 2 and more what follows a click."""
    words = words_of(name)
    if not words or words[0].startswith(_DENIALS) or len(words) > 3:
        return None
    if any(word in _CLICK_WORDS for word in words):
        return 0
    if any(word in CONVERSION_WORDS for word in words):
        return 2
    return 1 if any(word in _PLAIN_WORDS for word in words) else None


def label_of_log(name: str) -> str:
    """Returns the label that events of a log of this name would give."""
    words = words_of(name)
    if any(word in _CLICK_WORDS for word in words):
        return "click"
    for word in words:
        if word in CONVERSION_WORDS:
            return "conversion" if word.startswith("conv") else word.removesuffix("s")
    return "_".join(words) or "event"


def event_rank(name: str) -> int:
    """Returns how much the name of a log is that of impressions (0), or of events that
    follow them (1 click, 2 conversions); 3 where it does not tell."""
    words = words_of(name)
    shown = ("impression", "impr", "imp", "exposure", "view", "show", "pv", "request")
    if any(word.startswith(shown) for word in words):
        return 0
    if any(word in _CLICK_WORDS for word in words):
        return 1
    return 2 if any(word in CONVERSION_WORDS for word in words) else 3


def id_rank(kind: str, name: str) -> int | None:
    """Returns how well a name fits an id of a kind: 0 is best, None not at all."""
    words = words_of(name)
    meant = [word for word in words if word not in _ID_ENDINGS] or words
    for rank, wanted in enumerate(_IDS[kind]):
        head = wanted[0]
        if not all(word in words or name.lower() == word for word in wanted):
            continue
        if wanted[1:] or meant[-1] == head:
            # "user_id" and "user" are ids, "user_age" is not.
            named = len(meant) == 1 or words[-1] in _ID_ENDINGS
            return 2 * rank + (0 if named else 1)
    squeezed = name.lower().replace("_", "")
    for rank, wanted in enumerate(_IDS[kind]):
        if squeezed in (f"{wanted[0]}id", f"{wanted[0]}key"):
            return 2 * rank
    return None


def is_time(name: str) -> bool:
    """Returns whether a name is that of a moment."""
    words = words_of(name)
    return any(word in _TIME_WORDS or word.endswith("stamp") for word in words)


def time_rank(name: str) -> int:
    """Returns 0 for the name of a row's own moment, 1 for that of something else's."""
    return int(any(word in _OTHER_MOMENTS for word in words_of(name)))


def group_of(name: str) -> str | None:
    """Returns what a feature of this name describes: user, item or context."""
    words = words_of(name)
    for word in words:  # the first word that tells decides: user_city is the user's
        for group, known in _GROUPS.items():
            if word in known:
                return group
    return None


def is_naming(name: str) -> bool:
    """Returns whether numbers of this name stand for something: they are codes."""
    return any(word in _NAMING_WORDS for word in words_of(name))


def is_counting(name: str) -> bool:
    """Returns whether numbers of this name are amounts."""
    return any(word in _COUNTING_WORDS for word in words_of(name))
