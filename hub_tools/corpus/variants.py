"""What a corpus offers to learn from: its prompts alone or together, and the ablations of paper 1, Table 4.

Every variant is a configuration of one dataset. The first three are made of the parts' own files; the two ablations
(arXiv 2412.18552, Table 4: "ANL w/o R" and "ANL w/o L") are texts of their own, as short as what is left of an
analysis. The paper does not show their form; this one is ours.
"""

import re
from collections.abc import Sequence

from hub_tools.prompts.analysis import AnalysisReply


VARIANTS = {
    "analysis": "all analyses",
    "rewriting": "all rewritings",
    "both": "all analyses and rewritings: what the paper distils from",
    "analysis-without-reasoning": "analyses without their reasonings: targets, aspects and sentiments",
    "analysis-without-labels": "analyses without their labels: the reasonings",
}
ABLATIONS = ("analysis-without-reasoning", "analysis-without-labels")


def config_name(teacher: str, domain: str, prompt: str) -> str:
    """The Hub config of a part of the corpus.

    >>> config_name("Mixtral 8x7B", "restaurant", "analysis")
    'mixtral-8x7b-restaurant-analysis'
    """
    return re.sub(r"[^a-z0-9.]+", "-", f"{teacher}-{domain}-{prompt}".lower()).strip("-.")


def unions(parts: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The variants that are made of parts.

    Args:
        parts: (config, prompt) of each part, in the corpus's order.

    >>> unions([("t-laptop-analysis", "analysis"), ("t-laptop-rewriting", "rewriting")])["both"]
    ['t-laptop-analysis', 't-laptop-rewriting']
    """
    found = {
        "analysis": [config for config, prompt in parts if prompt == "analysis"],
        "rewriting": [config for config, prompt in parts if prompt == "rewriting"],
        "both": [config for config, _ in parts],
    }
    return {variant: configs for variant, configs in found.items() if configs}


def ablated(reply: AnalysisReply) -> dict[str, str]:
    """What each ablation leaves of an analysis, in the teacher's own words.

    >>> from hub_tools.prompts.analysis import read
    >>> reply = read('1. Opinion Target: "soup"\\nAspect: taste\\nSentiment: Mildly Negative\\nReasoning: It is cold.')
    >>> for text in ablated(reply).values():
    ...     print(text)
    Opinion Target 1: "soup"
    Aspect: taste
    Sentiment: Mildly Negative
    Reasoning 1: It is cold.
    """
    numbered = list(enumerate(reply.written, 1))
    labels = "\n\n".join(
        f"Opinion Target {number}: {parts['target']}\nAspect: {parts['aspect']}\nSentiment: {parts['sentiment']}"
        for number, parts in numbered
    )
    reasonings = "\n\n".join(f"Reasoning {number}: {parts['reasoning']}" for number, parts in numbered)
    return dict(zip(ABLATIONS, (labels, reasonings), strict=True))


def ablated_id(pair_id: str, variant: str) -> str:
    """The id of a pair in an ablation: that of the whole pair, and what was done to it.

    >>> ablated_id("c0ffee", "analysis-without-reasoning")
    'c0ffee-without-reasoning'
    """
    return f"{pair_id}-{variant.removeprefix('analysis-')}"
