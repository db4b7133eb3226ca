"""Strategies that draw media, their tags, and texts in which tags, escaped tags and near misses stand."""

from hypothesis import strategies as st

from palaestra.media import Media

hashes = st.sampled_from(["0" * 64, "f" * 64, "0123456789abcdef" * 4]) | st.binary(min_size=32, max_size=32).map(bytes.hex)
counts = st.integers(1, 9_999_999)
sounds = st.builds(
    Media,
    hashes,
    st.sampled_from(["audio/wav", "audio/mpeg", "audio/x-wav", "audio/wav2", "audio/flac"]),
    seconds=st.none() | st.floats(0, 9_999_999) | st.integers(0, 99),
    rate=st.none() | counts,
    channels=st.sampled_from([1, 2, 10, 11]),
)
pictures = st.builds(
    lambda name, type, size: Media(name, type, width=size and size[0], height=size and size[1]),
    hashes,
    st.sampled_from(["image/png", "image/jpeg", "image/svg+xml"]),
    st.none() | st.tuples(counts, counts),
)
media = sounds | pictures
tags = media.map(lambda item: item.tag)


@st.composite
def near_tags(draw) -> str:
    """Draw a tag with something about it changed: mostly ordinary text, now and then another tag."""
    tag = draw(tags)
    at = draw(st.integers(0, len(tag) - 1))
    other = draw(st.sampled_from(["", " ", "0", "1", "=", "<", ">", "/", "a", "A", ".", "\n", "&lt;"]))
    return tag[:at] + other + tag[at + draw(st.integers(0, 1)) :]


escaped = st.builds(lambda depth, tag: "&" + "amp;" * depth + "lt;" + tag[1:], st.integers(0, 3), tags)
texts = st.lists(
    st.one_of(
        tags, near_tags(), escaped, st.sampled_from(["&", "amp;", "&lt;", "<", "<tool_call>", "\n"]), st.text(max_size=4)
    ),
    max_size=6,
).map("".join)
