"""F1 of fine-grained sentiment texts under named rules, as an `evaluate` module. The rules are in `rules.py`."""

import datasets
import evaluate

from .breakdown import breakdown
from .opinions import check_task
from .rules import RULES, check_rule
from .scoring import check_columns, score_texts


FLAGS = ("implicit", "multiple")

_DESCRIPTION = """\
Precision, recall and F1 of opinions written as text ("Pad Thai | positive ; staff | negative", or quads), by the rule
of "Distilling Fine-grained Sentiment Understanding from Large Language Models", by a strict rule that counts malformed
and invented opinions as errors, and on request by the rules of InstructABSA and ABSA-QUAD and one with credit for what
is nearly right; overall and on sentences with implicit and with multiple sentiments.
"""

_CITATION = """\
@article{zhang2024distilling,
  title={Distilling Fine-grained Sentiment Understanding from Large Language Models},
  author={Zhang, Yice and Xie, Guangyu and Xu, Hongling and Hou, Kaiheng and Bao, Jianzhu and Wang, Qianlong and
    Chen, Shiwei and Xu, Ruifeng},
  journal={arXiv preprint arXiv:2412.18552},
  year={2024}
}
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (list of str): what the model wrote, one text per sentence; no opinion is "".
    references (list of str): the annotated opinions in the same form.
    sentences (list of str): the sentences, which decide whether a target is invented.
    implicit, multiple (list of bool, optional): whether each sentence belongs to the subset.
    task (str): "tsa" (target | polarity, the default), "asa" (category | polarity), "acos" or "asqp" (category |
        polarity | target | opinion words), or any other tuple: its fields, as "target,opinion,polarity", or how many
        there are, as "3".
    rule (str or list of str): "paper" (the default), "strict", "instructabsa", "absa-quad", "partial", several of
        them, or "all". The first two are always there.
Returns:
    precision, recall, f1: by the paper's rule, fractions in [0, 1].
    strict_precision, strict_recall, strict_f1: by the strict rule.
    instructabsa_..., absa_quad_..., partial_...: by the further rules that were asked for; the first two can exceed 1.
    implicit_..., multiple_...: all of these on the subsets, and n_implicit, n_multiple: their sizes in sentences.
    implicit_aspect_..., implicit_opinion_..., and their n_...: for quads, the same on sentences with a quad whose
        target, or whose opinion words, are "none" in the reference.
    n_sentences, n_gold, n_predicted, n_malformed, n_invented, n_repeated: counts over all sentences.
Examples:
    >>> fsa_f1 = evaluate.load("fsa_f1")                                                          # doctest: +SKIP
    >>> scores = fsa_f1.compute(
    ...     predictions=["food | positive ; waiter | negative"],
    ...     references=["food | positive ; staff | negative"],
    ...     sentences=["Good food, rude staff."],
    ...     rule="all",
    ... )
    >>> scores["precision"], scores["recall"], scores["strict_precision"], scores["n_invented"]
    (1.0, 0.5, 0.5, 1)
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class FsaF1(evaluate.Metric):
    """What `evaluate.load` finds here. `add` and `add_batch` check what they take, so that a mistake is named at once
    and leaves the module usable; `evaluate` itself would turn the text "False" into a true flag."""

    _flagged: set | None = None  # the flags that the sentences added so far have

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {
                    "predictions": datasets.Value("string"),
                    "references": datasets.Value("string"),
                    "sentences": datasets.Value("string"),
                    "implicit": datasets.Value("bool"),
                    "multiple": datasets.Value("bool"),
                }
            ),
            reference_urls=["https://arxiv.org/abs/2412.18552"],
        )

    def add_batch(self, *, predictions, references, sentences, implicit=None, multiple=None) -> None:
        """Add the texts of several sentences; flags may be left out, for all sentences or for none."""
        columns = check_columns(predictions, references, sentences, implicit, multiple)
        self._check_flags({name for name in FLAGS if columns[name] is not None})
        n = len(columns["sentences"])
        if n:
            super().add_batch(**{name: [None] * n if c is None else c for name, c in columns.items()})

    def add(self, *, prediction, reference, sentences=None, sentence=None, implicit=None, multiple=None) -> None:
        """Add one sentence's texts; the sentence itself as `sentence`, or as `evaluate` names it, `sentences`."""
        sentence = sentences if sentence is None else sentence
        check_columns([prediction], [reference], [sentence], [implicit], [multiple])
        self._check_flags({name for name, flag in zip(FLAGS, (implicit, multiple), strict=True) if flag is not None})
        super().add(
            prediction=prediction, reference=reference, sentences=sentence, implicit=implicit, multiple=multiple
        )

    def compute(self, *, task="tsa", rule="paper", **columns) -> dict | None:
        """Score the texts given here together with those added before."""
        check_task(task)
        rules = _rules(rule)
        columns = {name: column for name, column in columns.items() if column is not None}
        if unknown := sorted(set(columns) - set(self._feature_names())):
            raise ValueError(
                f"unknown inputs: {', '.join(unknown)}; allowed: {', '.join(self._feature_names())}, task, rule"
            )
        if columns:
            if missing := [name for name in self._feature_names() if name not in columns and name not in FLAGS]:
                raise ValueError(f"missing inputs: {', '.join(missing)}")
            self.add_batch(**columns)
        self._flagged = None
        if self.writer is None:  # `evaluate` cannot read back what was never written
            if not columns:
                raise ValueError("nothing to score: give predictions, references and sentences, or add them first")
            return score_texts(**columns, task=task, rules=rules)
        return super().compute(task=task, rules=rules)

    def breakdown(self, *, predictions, references, sentences, task="tsa") -> dict:
        """Strict scores per polarity and per category, and which polarity was taken for which; see `breakdown.py`."""
        columns = check_columns(predictions, references, sentences)
        return breakdown(columns["predictions"], columns["references"], columns["sentences"], task)

    def _compute(self, predictions, references, sentences, implicit, multiple, task, rules) -> dict:
        return score_texts(predictions, references, sentences, implicit, multiple, task, rules)

    def _check_flags(self, given: set) -> None:
        """Hold later batches to the flags of the first."""
        if self._flagged is not None and given != self._flagged:
            first, now = (", ".join(sorted(flags)) or "none" for flags in (self._flagged, given))
            raise ValueError(f"flags must be given for all sentences or for none; so far: {first}, now: {now}")
        self._flagged = given


def _rules(rule: str | list[str]) -> tuple[str, ...]:
    """The rules that are asked for, by name, by several names, or as "all"."""
    if rule == "all":
        return RULES
    rules = (rule,) if isinstance(rule, str) else tuple(rule)
    for name in rules:
        check_rule(name)
    return rules
