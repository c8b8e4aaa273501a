"""What the columns of each kind of dataset hold, as their cards say it."""

from __future__ import annotations

from collections.abc import Mapping


PAIR_COLUMNS = {
    "pair_id": "digest of the pair",
    "review_id": "the review it comes from",
    "domain": "restaurant, laptop, …",
    "rating": "stars the reviewer gave, 1–5, or null",
    "prompt": "`analysis` (the teacher names targets, aspects, sentiments, reasons) or `rewriting` (it retells the"
    " review with feelings made explicit)",
    "teacher": "who wrote the target",
    "input": "what the student reads: the review",
    "target": "what the student learns to write: the teacher's text",
    "source": "where the review comes from",
    "licence": "terms of the source; empty where they are not known",
}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "benchmark": {
        "id": "the ID in the source file, or the position there; unique within a split",
        "sentence": "one sentence of a review",
        "opinions": "list of `target` (null: not in the words), `start`, `end` (characters), `category`, `polarity`,"
        " `opinion_words` (null: not annotated; empty: the opinion is implied)",
        "text": "the gold opinions in the text form that students write and the metric reads",
        "hard": "from the additional hard test set",
        "implicit": "some opinion has no opinion words; null where nobody annotated them",
        "multiple": "the sentence holds more than one polarity",
    },
    "replies": {
        "request_id": "digest of all that decides the reply: prompts, review, teacher and revision, sampling",
        "review_id": "the review that was asked about",
        "prompt": "`analysis` or `rewriting`",
        "teacher": "who replied",
        "teacher_revision": "the revision of the teacher",
        "sampling": "sampling parameters, as JSON",
        "reply": "the reply as it came, unparsed",
        "finish_reason": "`stop`, or `length` if it was cut off",
        "prompt_tokens": "tokens read",
        "completion_tokens": "tokens written",
    },
    "corpus": PAIR_COLUMNS
    | {"reason, detail": "config `rejected` only: the gate that did not let the pair in, and what it saw"},
    "results": {
        "model, repo_id, revision": "label of the model that was fine-tuned, its repo, and the commit",
        "config": "configuration of the benchmark",
        "train_share": "share of the training sentences that it saw; 1.0: all",
        "input_form": "`plain`, or `instruction` (InstructABSA's: an instruction and examples around each sentence)",
        "split": "`test_hard` (official and hard test set, as in the paper) or `test` (the official one; all of a quad"
        " set's)",
        "subset": "`all`, `implicit` or `multiple`; quads: `all`, `implicit_aspect`, `implicit_opinion`, `multiple`",
        "seed": "seed of the fine-tuning",
        "precision, recall, f1": "by the paper's rule: malformed and invented items are dropped before counting",
        "strict_precision, strict_recall, strict_f1": "sets per sentence; malformed, invented and wrong items are"
        " false positives",
        "partial_f1, instructabsa_f1, absa_quad_f1": "by further rules; the last two may exceed 1",
        "n_…": "counts: sentences, gold and predicted pairs, malformed, invented and repeated items",
        "validation_f1, seconds, …": "how the run went, and on what",
    },
}
