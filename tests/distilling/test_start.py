"""The student before pretraining."""

from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.start import make_student


def test_a_fresh_student_reads_and_writes_the_corpus():
    pairs = [{"input": "Loved it.\nTruly.", "target": 'Opinion Target 1: "it"\nSentiment: positive'}]
    sizes = {"d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.25}
    arguments = Pretrain("me", "t5", vocab_size=120, **sizes)
    model, tokenizer = make_student(arguments, pairs, {})
    assert (model.config.d_model, model.config.num_layers, model.config.dropout_rate) == (16, 1, 0.25)
    assert tokenizer.unk_token_id not in tokenizer(pairs[0]["target"].replace("\n", "[NL]")).input_ids
