"""What the benchmark's card says of its data: counts, where each config comes from, what was changed in it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hub_tools.benchmarks import fsa, quads
from hub_tools.benchmarks.records import BenchmarkError, Row


CONFIGS = (*fsa.CONFIGS, *quads.CONFIGS)


class Origin(NamedTuple):
    """Where some configs come from, and under which terms."""

    name: str
    licence: str
    url: str
    note: str
    configs: tuple[str, ...]


NO_LICENCE = "none stated"
ORIGINS = (
    Origin(
        "SemEval-2014 Task 4",
        "not stated in the files",
        "https://aclanthology.org/S14-2004",
        "Sentences, targets and polarities; opinion words of the test sets by later annotators.",
        ("tsa-rest14", "tsa-laptop14"),
    ),
    Origin(
        "SemEval-2016 Task 5",
        "not stated in the files",
        "https://aclanthology.org/S16-1002",
        "Sentences, aspect categories and polarities. The quadruple sets annotate restaurant sentences of it anew,"
        " ASQP-Rest15 those of the year before.",
        ("asa-rest16", "asa-laptop16", "acos-rest16", "asqp-rest15", "asqp-rest16"),
    ),
    Origin(
        "HITSZ-HLT/FSA-Distillation, `fsa_datasets/w_hard`",
        NO_LICENCE,
        "https://github.com/HITSZ-HLT/FSA-Distillation",
        "The splits, and the hard sentences of `test_hard`.",
        tuple(fsa.CONFIGS),
    ),
    Origin(
        "NUSTM/ACOS",
        NO_LICENCE,
        "https://github.com/NUSTM/ACOS",
        "Quadruples with implicit aspects and opinions; lower case.",
        ("acos-rest16", "acos-laptop16"),
    ),
    Origin(
        "IsakZhang/ABSA-QUAD",
        NO_LICENCE,
        "https://github.com/IsakZhang/ABSA-QUAD",
        "Quadruples with implicit aspects.",
        ("asqp-rest15", "asqp-rest16"),
    ),
)
DETOKENISED = Origin(
    "HITSZ-HLT/ST-w-Scorer-ABSA, `code/data/t5`",
    NO_LICENCE,
    "https://github.com/HITSZ-HLT/ST-w-Scorer-ABSA",
    "The form of the quadruple sets that is used here: de-tokenised, categories written as words.",
    tuple(quads.CONFIGS),
)
TOKENISED = "Quadruple sets are in their raw public form: a space around every token, ACOS in lower case."
LIMITS = (
    (
        tuple(fsa.CONFIGS),
        "Train and validation of the `tsa` and `asa` configs are a random split of sentences, so reviews overlap"
        " between them.",
    ),
    (
        tuple(fsa.CONFIGS),
        "The `tsa` and `asa` configs annotate opinion words in their test sets only; `implicit` is null elsewhere.",
    ),
    (
        tuple(quads.CONFIGS),
        "In the quadruple configs every sentence holds an opinion, whereas many of the others hold none: their scores"
        " do not compare.",
    ),
    (
        ("asqp-rest15",),
        "What SemEval 2015 tested on, SemEval 2016 trains on: a model that was trained on `asa-rest16`, `acos-rest16`"
        " or `asqp-rest16` must not be tested on `asqp-rest15`.",
    ),
    (("asqp-rest15", "asqp-rest16"), "ASQP has no implicit opinions: `implicit` is false throughout."),
)


def origins(configs: Iterable[str], form: str) -> list[Origin]:
    """Where these configs come from, each with those of its configs that are among them.

    Args:
        form: of the quads, one of `quads.FORMS`.
    """
    wanted = list(configs)
    named = [*ORIGINS, *([DETOKENISED] if form == "detokenised" else [])]
    mine = [origin._replace(configs=tuple(c for c in wanted if c in origin.configs)) for origin in named]
    return [origin for origin in mine if origin.configs]


def limits(configs: Iterable[str], form: str) -> list[str]:
    """What whoever uses these configs should know."""
    wanted = set(configs)
    raw = [TOKENISED] if form == "raw" and wanted & set(quads.CONFIGS) else []
    return [text for concerned, text in LIMITS if wanted & set(concerned)] + raw


def check_configs(configs: Sequence[str]) -> None:
    """Raise `BenchmarkError` unless `configs` names one config or more, each known and named once."""
    unknown = [config for config in configs if config not in CONFIGS]
    if unknown or not configs or len(set(configs)) < len(configs):
        raise BenchmarkError(
            f"`configs` should name different configs of the benchmark, found {', '.join(configs) or 'none'}; "
            f"allowed: {', '.join(CONFIGS)}"
        )


def counts(benchmark: Mapping[str, Mapping[str, Sequence[Row]]]) -> list[dict[str, Any]]:
    """A row of counts per config and split; None where a config does not annotate such a thing.

    `targets`, `aspects` as in paper 1 (arXiv 2412.18552), Table 2; `quads` with repeats, as their papers count them;
    the last three count sentences with an implicit aspect, an implicit opinion, more than one polarity.
    """
    rows = []
    for config, splits in benchmark.items():
        for split, sentences in splits.items():
            found = fsa.summary(sentences)
            opinions = [row["opinions"] for row in sentences]
            is_quads = config in quads.CONFIGS
            rows.append(
                {
                    "config": config,
                    "split": split,
                    "sentences": found["sentences"],
                    "targets": found["targets"] or None,
                    "aspects": found["aspects"] or None,
                    "quads": sum(map(len, opinions)) if is_quads else None,
                    "implicit aspect": sum(map(_lacks_target, opinions)) if is_quads else None,
                    "implicit opinion": found["implicit"],
                    "multiple": found["multiple"],
                }
            )
    return rows


def _lacks_target(opinions: Sequence[Row]) -> bool:
    return any(opinion["target"] is None for opinion in opinions)


def said_changes(changes: Mapping[str, Counter[str]]) -> list[str]:
    """What differs from the files, in words; config → (what → how often) comes in."""
    return [
        f"`{config}`: {what}: {cases}." for config, found in changes.items() for what, cases in found.items() if cases
    ]
