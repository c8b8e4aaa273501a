"""Whose reviews may be given away: licences that let anyone pass a text on, and what lies under none of them."""

import re
from collections.abc import Iterable


# Licences by their names on the Hub that allow passing on a text and what was made of it. Not among them: `-nd` ones,
# since a rewriting is an adaptation. Those of non-commercial use (`-nc`) bind the user; the card names them.
OPEN = (
    "apache-2.0", "mit", "bsd", "unlicense", "cc0", "cc-by", "cc-by-sa", "cc-by-nc", "cc-by-nc-sa", "odc-by", "odbl",
    "pddl", "cdla-permissive", "cdla-sharing", "public domain",
)  # fmt: skip
_OPEN = re.compile(rf"(?:{'|'.join(map(re.escape, OPEN))})(?:[- ]v?\d[\w.]*)?(?:[- ][\w]+-clause)?", re.IGNORECASE)


def is_open(licence: str) -> bool:
    """Whether reviews under a licence may be passed on; "" is not known and so they may not.

    >>> is_open("cc-by-4.0"), is_open("Apache-2.0"), is_open("cc-by-nd-4.0"), is_open("Yelp's terms"), is_open("")
    (True, True, False, False, False)
    """
    return bool(_OPEN.fullmatch(licence.strip()))


def check_publishing(publish: str, private: bool, licences: Iterable[tuple[str, str]]) -> None:
    """Refuse to give away reviews that are not ours to give.

    Args:
        publish: `text`, or `ids` for a corpus without the reviews' texts.
        private: whether the repo is seen by its owner only.
        licences: (source of reviews, its licence), "" when unknown.

    Raises:
        ValueError: naming the sources that forbid it, or an unknown `publish`.
    """
    if publish not in ("text", "ids"):
        raise ValueError(f"publish {publish!r}; allowed: text, ids")
    closed = [(source, licence) for source, licence in licences if not is_open(licence)]
    if publish == "text" and not private and closed:
        named = "; ".join(f"{source!r}: {licence or 'unknown'}" for source, licence in closed)
        raise ValueError(
            f"these reviews may not be published with their text, by their licence ({named}). Set `publish: ids` to "
            "publish ids and the teachers' texts, or `private: true`, or label them again with the `licence` that "
            f"they are under, if it is one of {', '.join(OPEN)}"
        )
