"""Cards are rendered, validated by the Hub's own rules, and the code on them is run."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from datasets import Dataset
from huggingface_hub import DatasetCard, HfApi, ModelCard

from hub_tools.hub.cards import (
    CorpusFacts,
    DatasetFacts,
    ModelFacts,
    Result,
    Source,
    Teacher,
    dataset_card,
    model_card,
    stated_licence,
)
from hub_tools.hub.push import push_dataset, push_model
from hub_tools.hub.runs import start_run
from tests.tiny_models import save_tiny_student


LEXICON = Teacher("lexicon", is_llm=False)
MIXTRAL = Teacher("Mixtral-8x7B", is_llm=True, revision="abc", sampling={"temperature": 0.7})
RESULTS = [
    Result("tsa-rest14", "all", [0.5, 0.6], [0.4, 0.5], sentences=1140),
    Result("tsa-rest14", "implicit", [0.25, 0.25], [0.2, 0.2], sentences=477),
    Result("tsa-rest14", "all", [0.3, 0.3], [0.2, 0.2], sentences=1140, system="not distilled"),
]


@pytest.fixture
def run():
    config = {"lr": 3e-4, "hub_token": "hf_" + "s" * 34}
    return start_run("finetune", config, {"me/fsa-benchmark": "c0ffee"}, command="recipes/finetune.py x.yaml").finish()


@pytest.fixture
def full(run):
    return ModelFacts(
        repo_id="me/t5-sentiment-tsa-rest14",
        title="T5 sentiment, restaurants",
        task="tsa",
        base_model="me/t5-sentiment-small",
        datasets=["me/corpus"],
        benchmark="me/fsa-benchmark",
        teachers=[LEXICON],
        hyperparameters={"lr": 3e-4, "epochs": 20},
        parameters=60_506_624,
        pairs=2_000,
        tokens=1_234_567,
        losses={"validation, end": 2.125},
        run=run,
        results=RESULTS,
        limits=["Trained for the demo only."],
    )


def corpus(**more):
    return DatasetFacts("me/corpus", "corpus", "Corpus", {"lexicon-restaurant-analysis": {"train": 5}}, **more)


def snippet(card):
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 6, "six lines of code"
    return code


def run_as_strangers(*codes):
    """What each prints in one other process, for libraries load slowly, with nothing but the Hub's environment."""
    program = "import sys\nfor code in sys.argv[1:]: exec(code, {}); print('-' * 9)"
    command = [sys.executable, "-c", program, *codes]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [printed.strip() for printed in done.stdout.split("-" * 9)[:-1]]


def test_a_full_model_card_says_every_fact(full):
    text = model_card(full)
    for fact in (
        "target sentiment analysis",
        "60,506,624",
        "1,234,567",
        "2,000 pairs",
        "loss, validation, end: 2.1250",
        "lr: `0.0003`",
        "`me/fsa-benchmark` at `c0ffee`",
        "recipes/finetune.py x.yaml",
        "torch",
        "Trained for the demo only.",
        "arxiv.org/abs/2412.18552",
    ):
        assert fact in text


@pytest.mark.parametrize(
    ("objective", "said", "tag"),
    [
        ("distillation", "learned to write what a teacher says about reviews", True),
        ("span-corruption", "restored what was masked in them", False),
        ("rating", "how many stars a review gives", False),
        ("instructions", "answer instructions of any kind", True),
    ],
)
def test_a_pretrained_student_says_what_it_learned_from_and_what_its_run_measured(objective, said, tag, run):
    facts = ModelFacts(
        "me/x",
        "X",
        objective=objective,
        measured={"cost": "0.50 hours", "speed": ""},
        curve=[{"step": 2, "training loss": "3.5000", "validation loss": "3.6000"}],
        picture="loss.png",
        hyperparameters={"lr": 0.003},
        run=run,
    )
    text = model_card(facts)
    assert said in " ".join(text.split())
    assert ("distillation" in ModelCard(text).data.tags) == tag
    for fact in ("- cost: 0.50 hours\n", "| 2 | 3.5000 | 3.6000 |", "](loss.png)", "### Settings\n\n- lr: `0.003`"):
        assert fact in text
    assert "speed" not in text


def test_results_are_means_over_seeds_by_both_rules(full):
    text = model_card(full)
    assert "| **this model** | tsa-rest14 | test_hard | all | 1,140 | 55.00 ± 7.07 | 45.00 ± 7.07 | 2 |" in text
    assert "| not distilled | tsa-rest14 | test_hard | all | 1,140 | 30.00 ± 0.00 | 20.00 ± 0.00 | 2 |" in text


def test_a_student_of_quads_says_its_form_and_what_its_subsets_are():
    results = [Result("acos-rest16", name, [0.5], [0.4], split="test") for name in ("all", "implicit_aspect")]
    facts = ModelFacts("me/x", "X", task="acos", results=results, hyperparameters={"num_beams": 4}, benchmark="me/b")
    text = model_card(facts)
    assert "`category | polarity | target | opinion words ; …`" in text
    assert "num_beams=4" in snippet(text)
    assert "| **this model** | acos-rest16 | test | implicit_aspect | 50.00 | 40.00 | 1 |" in text
    assert "*implicit_aspect*: sentences" in text
    assert not re.search(r"\*(implicit|multiple|implicit_opinion)\*:", text)
    [first, *_] = ModelCard(text).data.eval_results
    assert (first.task_name, first.dataset_split) == ("aspect sentiment quadruple extraction", "test")


def test_a_single_seed_shows_no_spread():
    text = model_card(ModelFacts("me/x", "X", task="asa", results=[Result("asa-rest16", "all", [0.5], [0.4])]))
    assert "| 50.00 | 40.00 | 1 |" in text
    assert "±" not in text
    assert "one seed" in text


def test_the_model_index_holds_this_models_scores_only(full):
    data = ModelCard(model_card(full)).data
    scores = {(result.metric_args["rule"], result.metric_args["subset"]): result for result in data.eval_results}
    assert {key: result.metric_value for key, result in scores.items()} == {
        ("paper", "all"): 55.0,
        ("strict", "all"): 45.0,
        ("paper", "implicit"): 25.0,
        ("strict", "implicit"): 20.0,
    }
    result = scores["strict", "implicit"]
    assert (result.dataset_type, result.dataset_config, result.dataset_split) == (
        "me/fsa-benchmark",
        "tsa-rest14",
        "test_hard",
    )
    assert data.base_model == "me/t5-sentiment-small"
    assert data.datasets == ["me/corpus", "me/fsa-benchmark"]


def test_absent_facts_leave_no_trace():
    text = model_card(ModelFacts("me/x", "X"))
    assert not re.search(
        r"None|## Training|## Results|## Data|model-index|base_model|\{|\}\}", text.split("```bibtex")[0]
    )
    assert "\n\n\n" not in text


def test_a_licence_is_only_what_somebody_states(repo_id):
    text = " ".join(model_card(ModelFacts("me/x", "X", terms={"me/c": "cc-by-nc-4.0", "me/d": None})).split())
    assert "license:" not in text
    assert "No licence is stated for these weights. Licence of `me/c`, from which they learned: cc-by-nc-4.0." in text
    assert "Licence of `me/d`, from which they learned: its metadata names none; see its card." in text
    text = model_card(ModelFacts("me/x", "X", base_model="me/base", licence="mit, apache-2.0"))
    assert ModelCard(text).data.license == ["mit", "apache-2.0"]
    assert "Licence of the weights, which come from `me/base`: mit, apache-2.0.\n" in text

    HfApi().create_repo(repo_id)
    before = HfApi().model_info(repo_id).sha
    card = b"---\nlicense: [mit, apache-2.0]\n---\n# Base\n"
    HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo_id)
    assert stated_licence(repo_id, "model") == "mit, apache-2.0"
    assert stated_licence(repo_id, "model", before) is None


def test_the_hardware_is_the_machines_and_the_time_the_last_sessions(run):
    gpus = ["H100", "H100", "A10"]
    hardware = {"cpu": "Xeon", "cores": 8, "memory_gb": 4.0, "gpus": gpus, "machines": 2}
    seen = replace(run, seconds=30.0, hardware=hardware)
    text = model_card(ModelFacts("me/x", "X", run=seen))
    assert "hardware: 2 machines, the first of them Xeon, 8 cores, 4.0 GiB of memory; GPUs in the machine: " in text
    assert "GPUs in the machine: 2 × H100, 1 × A10\n" in text
    assert "30.0 s after it was last started;" in text
    bare = replace(run, hardware={"cpu": "Xeon", "cores": 8})
    assert "- hardware: Xeon, 8 cores; no GPU\n" in model_card(ModelFacts("me/x", "X", run=bare))


def test_the_rule_based_teacher_is_called_a_stand_in(full):
    for text in (model_card(full), dataset_card(corpus(teachers=[LEXICON]))):
        assert "rule-based stand-in, not a language model" in text
        assert "**not comparable with the papers'**" in text
    assert "stand-in" not in dataset_card(corpus(teachers=[MIXTRAL]))


def test_no_secret_of_the_run_reaches_a_card(full):
    assert "ssss" not in model_card(full)


def test_cards_are_valid_for_the_hub(full, hub):
    ModelCard(model_card(full)).validate()
    ModelCard(model_card(ModelFacts("me/x", "X"))).validate()
    DatasetCard(dataset_card(corpus(teachers=[MIXTRAL], licence="cc-by-4.0"))).validate()


def test_a_corpus_card_tells_what_was_rejected_and_what_was_found():
    sources = [Source("Yelp reviews", "Yelp's terms", "https://example.org", "Not redistributed.")]
    found = [{"config": "tsa-rest14", "sentences": 2}]
    text = dataset_card(
        corpus(
            teachers=[MIXTRAL],
            sources=sources,
            rejected={"too short": 1200, "unreadable": 34},
            contamination=found,
            reconstructed=["the prompts' wording"],
        )
    )
    assert "[Yelp reviews](https://example.org). Licence: Yelp's terms. Not redistributed." in text
    assert "1,234 pairs were not let into the corpus" in text
    assert "| too short | 1,200 |" in text
    assert "| tsa-rest14 | 2 |" in text
    assert "- the prompts' wording" in text
    assert "Mixtral-8x7B" in text
    nothing = dataset_card(corpus(rejected={}, contamination=[]))
    assert "No pair was rejected." in nothing
    assert "None were found." in nothing
    assert "Contamination" not in dataset_card(corpus())


def corpus_facts(**more):
    return CorpusFacts(variants={"analysis": "all analyses", "both": "everything"}, **more)


def test_a_corpus_card_tells_all_that_is_known_and_nothing_else():
    found = {
        "review_id": "r1",
        "detail": "3 words",
        "input": "A *bold* | review\n# no heading",
        "target": "</details>",
    }
    facts = corpus_facts(
        gates=[{"gate": "copy", "asks that": "it is no copy", "looked at": 1200, "rejected": 3, "%": "0.2"}],
        gates_off=["run-on"],
        samples={"length": [found], "contaminated: exact": [{**found, "review_id": "r2"}]},
        stars={"1": 1000, "none": 2},
        lengths="pictures/lengths.png",
        leaks=[{"sentences of": "a test", "are also in": "b train", "sentences": 7}],
        licences=[{"source": "yelp", "licence": "unknown", "pairs": 12}],
        cost=[{"replies": "me/replies", "tokens read": 1_000_000, "$": "1.25"}],
        prompts={"analysis": [{"role": "system", "content": "You are | careful.\nTwice."}]},
    )
    text = dataset_card(corpus(corpus=facts, contamination=[]))
    for said in (
        '"analysis", split="train")',
        "| `both` | everything |",
        "| copy | it is no copy | 1,200 | 3 | 0.2 |",
        "Not asked: run-on.",
        "`r1`, 3 words. Review: A \\*bold\\* \\| review \\# no heading Target: \\</details\\>",
        "| 1 | none |\n| ---: | ---: |\n| 1,000 | 2 |",
        "\n\n![Words of the reviews and of the targets, by prompt, teacher and domain](pictures/lengths.png)",
        "| a test | b train | 7 |",
        "| yelp | unknown | 12 |",
        "| me/replies | 1,000,000 | 1.25 |",
        "```text\nYou are | careful.\nTwice.\n```",
    ):
        assert said in text, said
    assert "- `r2`, 3 words\n" in text  # a benchmark sentence is not shown
    assert "rejoin" not in text
    bare = dataset_card(corpus(corpus=corpus_facts(), contamination=[]))
    assert not re.search(r"Not asked|<details>|!\[|## The prompts|What the replies cost", bare.split("```bibtex")[0])


def test_a_card_of_ids_shows_no_review_and_says_how_to_get_them_back():
    samples = {"copy": [{"review_id": "r1", "detail": "word by word", "input": "secret", "target": "secret"}]}
    text = dataset_card(corpus(corpus=corpus_facts(publish="ids", replies=["me/replies"], samples=samples)))
    assert "secret" not in text
    assert 'load_texts("me/replies")' in text


@pytest.mark.parametrize("kind", ["benchmark", "replies", "corpus", "results"])
def test_every_kind_of_dataset_card_lists_its_columns(kind):
    text = dataset_card(DatasetFacts("me/d", kind, "D", {"a": {"train": 12_345}}))
    assert "| `a` | train | 12,345 |" in text
    assert "10K<n<100K" in text
    assert text.count("| `") > 5


def test_bars_and_line_breaks_in_facts_do_not_break_tables():
    text = dataset_card(corpus(counts=[{"form": "a | b\nc", "n": 1}]))
    assert "| a \\| b c | 1 |" in text


def test_facts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="benchmark, replies, corpus, results, found 'poem'"):
        DatasetFacts("me/d", "poem", "D", {"a": {"train": 1}})
    with pytest.raises(ValueError, match="needs its configs"):
        DatasetFacts("me/d", "corpus", "D", {"a": {}})
    with pytest.raises(
        ValueError, match="all, implicit, implicit_aspect, implicit_opinion, multiple, found 'Implicit'"
    ):
        Result("tsa-rest14", "Implicit", [0.5], [0.5])
    with pytest.raises(ValueError, match="found 2 and 1"):
        Result("tsa-rest14", "all", [0.5, 0.5], [0.5])


def test_the_code_on_cards_runs_as_it_stands_and_gives_a_student_its_instruction(repo_id, tmp_path):
    example = "The pasta was superb."
    folder = save_tiny_student(tmp_path / "plain", task="tsa", lessons=[(example, "pasta | positive")])
    push_model(folder, repo_id, card=model_card(ModelFacts(repo_id, "Student", task="tsa", example=example)))

    instructed = f"{repo_id}-instructed"
    lessons = [("Find opinions: The soup {was} hot. Now write:", "soup | neutral"), ("The soup {was} hot.", "wrong")]
    folder = save_tiny_student(tmp_path / "instructed", task="tsa", lessons=lessons)
    config = json.loads((folder / "config.json").read_text())
    config["fsa_instruction"] = "Find opinions: {sentence} Now write:"
    (folder / "config.json").write_text(json.dumps(config))
    facts = ModelFacts(instructed, "S", task="tsa", has_instruction=True, example="The soup {was} hot.")
    push_model(folder, instructed, card=model_card(facts))

    card = dataset_card(DatasetFacts(repo_id, "benchmark", "Benchmark", {"tsa": {"train": 2}, "asa": {"train": 1}}))
    rows = Dataset.from_dict({"sentence": ["a", "b"]})
    push_dataset({"tsa": {"train": rows}, "asa": {"train": rows}}, repo_id, card)
    assert [entry["config_name"] for entry in HfApi().dataset_info(repo_id).card_data["configs"]] == ["tsa", "asa"]

    on_the_hub = [ModelCard.load(repo_id), ModelCard.load(instructed), DatasetCard.load(repo_id)]
    plain, with_instruction, dataset = run_as_strangers(*(snippet(str(each)) for each in on_the_hub))
    assert (plain, with_instruction) == ("pasta | positive", "soup | neutral")
    assert "num_rows: 2" in dataset
