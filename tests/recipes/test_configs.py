"""Every YAML under recipes/configs: that its recipe takes it, says what it needs, and fits the others of its set."""

import re
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from hub_tools.arguments import read_sweep
from hub_tools.distilling.arguments import check, settings_of
from hub_tools.students.finetuning import Finetuning
from tests.recipes.recipe_files import CONFIGS, RECIPES, ROOT, SETS, SWEEPS, arguments_type, load_recipe, recipe_of


by_name = pytest.mark.parametrize(
    "config",
    CONFIGS + SWEEPS,
    ids=lambda path: "-".join(path.with_suffix("").parts[path.parts.index("configs") + 1 :]),
)
by_set = pytest.mark.parametrize("name", SETS)


@cache
def arguments_of(config: Path) -> list:
    """Those of each run that the YAML describes: one, or those of its sweep."""
    return read_sweep(arguments_type(recipe_of(config)), [str(config)])


def of(name: str, recipe: str, paths: list[Path] = CONFIGS) -> list:
    """The arguments that the set `name` has for a recipe, run by run."""
    return [run for path in paths if set_of(path) == name and recipe_of(path) == recipe for run in arguments_of(path)]


def the(name: str, recipe: str):
    """The arguments of the set's `<recipe>.yaml`."""
    (arguments,) = arguments_of(ROOT / "recipes" / "configs" / name / f"{recipe}.yaml")
    return arguments


def header_of(config: Path) -> str:
    """The comment that a YAML begins with."""
    return "\n".join(takewhile(lambda line: line.startswith("#"), config.read_text(encoding="utf-8").splitlines()))


def set_of(config: Path) -> str:
    return config.parts[config.parts.index("configs") + 1]


def stage_order(paths: list[Path], name: str, recipe: str) -> list[Path]:
    """The YAMLs of a stage in the order in which the Makefile runs them: that of the bytes of their names."""
    found = [path for path in paths if set_of(path) == name and recipe_of(path) == recipe]
    return sorted(found, key=lambda path: path.name.encode())


@by_name
def test_its_recipe_takes_it(config):
    given = yaml.safe_load(config.read_text(encoding="utf-8"))
    members = given.pop("sweep", [{}])
    for arguments, member in zip(arguments_of(config), members, strict=True):
        wanted = {**given, **member}
        assert {key: getattr(arguments, key) for key in wanted} == wanted


@by_name
def test_its_first_line_names_the_hardware(config):
    assert re.match(r"# .*\b([CG]PUs?)\b", config.read_text(encoding="utf-8").splitlines()[0])


@by_name
def test_what_a_set_keeps_lies_in_its_own_folder(config):
    """So that two sets never share checkpoints or cells."""
    for arguments in arguments_of(config):
        runs = getattr(arguments, "runs", None)
        assert runs in (None, f"build/{set_of(config)}/runs", "build/runs")
        assert set_of(config) == "paper" or runs != "build/runs"


@by_set
def test_a_set_has_a_yaml_for_every_stage(name):
    assert [recipe for recipe in RECIPES if not of(name, recipe)] == []


@by_set
def test_a_sets_stages_pass_their_work_on(name):
    everything = [run for path in CONFIGS + SWEEPS if set_of(path) == name for run in arguments_of(path)]
    assert len({(arguments.namespace, arguments.hub) for arguments in everything}) == 1
    labelled = [arguments.replies for arguments in of(name, "label_reviews")]
    assert sorted(the(name, "build_corpus").replies) == sorted(labelled)

    named, published = load_recipe("finetune").named, set()
    pretrained = {pretrain.name for pretrain in of(name, "pretrain")}
    for finetune in of(name, "finetune"):
        load_recipe("finetune").check(finetune)
        repos = {reference.partition("@")[0] for reference in dict(named(finetune.models)).values()}
        assert repos <= {*pretrained, "google-t5/t5-base"}
        assert set(dict(named(finetune.teachers)) if finetune.teachers else ()) == set(finetune.publish)
        assert set(finetune.configs) <= set(the(name, "build_benchmark").configs)
        published |= {f"{finetune.name}-{config}" for config in finetune.configs if finetune.publish}
    assert set(the(name, "publish").students) <= published


@by_set
def test_every_student_that_is_fine_tuned_was_pretrained_before(name):
    """By the same set or its sweeps; and of what pretraining starts from, nothing is made later than it is needed."""
    models = {
        reference.partition("@")[0]
        for finetune in of(name, "finetune", CONFIGS + SWEEPS)
        for reference in dict(load_recipe("finetune").named(finetune.models)).values()
    }
    made: list[str] = []
    for paths in (CONFIGS, SWEEPS):
        needed = []
        for path in stage_order(paths, name, "pretrain"):
            for pretrain in arguments_of(path):
                needed += [
                    (each.partition("@")[0], path) for each in (pretrain.student, pretrain.soft_teacher) if each
                ]
                made.append(pretrain.name)
                if paths is CONFIGS:
                    assert all("/" in repo or repo in made[:-1] for repo, _ in needed), path
        assert all("/" in repo or repo in made for repo, _ in needed)
    assert len(set(made)) == len(made)
    assert {repo for repo in models if "/" not in repo} <= set(made)


@by_set
def test_a_yaml_of_fine_tuning_names_the_yamls_that_pretrain_its_students(name):
    """In its header, but for the set's `pretrain.yaml`; so does a YAML of pretraining that reads other students."""
    paths = [path for path in CONFIGS + SWEEPS if set_of(path) == name]
    makers = {run.name: path for path in paths if recipe_of(path) == "pretrain" for run in arguments_of(path)}
    for path in paths:
        needed: set[str] = set()
        for run in arguments_of(path):
            if recipe_of(path) == "finetune":
                needed |= {*dict(load_recipe("finetune").named(run.models)).values()}
            elif recipe_of(path) == "pretrain":
                needed |= {run.student, run.soft_teacher, run.difficulty_model}
        files = {makers[repo].name for reference in needed if (repo := reference.partition("@")[0]) in makers}
        assert [file for file in files - {path.name, "pretrain.yaml"} if file not in header_of(path)] == [], path


@by_set
def test_a_label_stands_for_one_model(name):
    """In all YAMLs of a set: the report tells models apart by their labels."""
    named, meant = load_recipe("finetune").named, {}
    for finetune in of(name, "finetune", CONFIGS + SWEEPS):
        for label, reference in named(finetune.models):
            assert meant.setdefault(label, reference) == reference
    for report in of(name, "report", CONFIGS + SWEEPS):
        labels = [text.partition("=")[0].rpartition(":")[2] for text in (*report.reviews, *report.parameters)]
        assert {*labels, *report.sampling} <= set(meant)


@by_set
def test_a_comparison_gives_all_sides_the_same_budget(name):
    """One set of hyper-parameters for all models of a config, and of seeds; at least two seeds."""
    main = the(name, "finetune")
    for finetune in of(name, "finetune", CONFIGS + SWEEPS):
        labels = set(dict(load_recipe("finetune").named(finetune.models)))
        assert len(set(finetune.seeds)) == len(finetune.seeds) >= 2
        if "base" not in labels:  # compared with that of the main one
            assert finetune.seeds == main.seeds
            assert set(finetune.configs) <= set(main.configs)
            training = load_recipe("finetune").Finetuning.__dataclass_fields__
            assert all(getattr(finetune, key) == getattr(main, key) for key in training)


# What a run of pretraining may have of its own; everything else is the same for all students of a set
VARIED = {
    "name", "objective", "instructions", "corpus", "corpus_configs", "teachers", "student", "reviews_limit", "scheme",
    "instructions_teacher", "soft_teacher", "soft_weight", "keep_share", "keep_how", "keep_peak", "keep_within",
    "difficulty_model", "epochs", "steps", "seed",
}  # fmt: skip
FRESH = {"vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "dropout_rate"}


@by_set
def test_students_of_a_set_are_pretrained_alike(name):
    """Same learning rate, pairs a step, limits; and what has another corpus or objective the same start."""
    main = the(name, "pretrain")
    for pretrain in of(name, "pretrain", CONFIGS + SWEEPS):
        varied = VARIED | (FRESH - {"vocab_size"} if not pretrain.student else FRESH)
        for key in set(pretrain.__dataclass_fields__) - varied:
            assert getattr(pretrain, key) == getattr(main, key), (pretrain.name, key)
        if pretrain.objective != "distillation":
            assert pretrain.student == (main.student or f"{main.name}@step-0")
        elif pretrain.student and not main.student:
            assert pretrain.student == f"{main.name}@step-0"


@by_set
def test_what_is_compared_with_the_sets_student_takes_as_many_steps(name):
    """By a number of steps, not of epochs: these pass over fewer or other pairs, and some are held out of each."""
    main = the(name, "pretrain")
    for pretrain in of(name, "pretrain", CONFIGS + SWEEPS):
        whole = not (pretrain.corpus_configs or pretrain.corpus or pretrain.reviews_limit)
        if whole and pretrain.name != main.name and pretrain.objective != "instructions":
            assert pretrain.steps == main.steps > 0, pretrain.name


@by_set
def test_no_two_yamls_compute_the_same_cells(name):
    """They would replace each other's rows in the results."""
    recipe, cells = load_recipe("finetune"), []
    for finetune in of(name, "finetune", CONFIGS + SWEEPS):
        models = {label: ("me/t5", "c0ffee") for label, _ in recipe.named(finetune.models)}
        cells += [cell.facts() for cell in recipe.plan(finetune, models)]
    assert len({tuple(cell.values()) for cell in cells}) == len(cells)


@by_set
def test_pretraining_settings_can_be_made(name):
    for pretrain in of(name, "pretrain", CONFIGS + SWEEPS):
        check(pretrain)
        assert settings_of(pretrain, 1000).steps >= 1


@pytest.mark.parametrize("name", ["demo", "real"])
def test_what_runs_on_two_cores_needs_no_account(name):
    assert {run.hub for path in CONFIGS + SWEEPS if set_of(path) == name for run in arguments_of(path)} == {"embedded"}


@by_name
def test_only_the_generated_sample_is_public(config):
    assert all(arguments.private for arguments in arguments_of(config)) or set_of(config) == "demo"


# --- The paper's numbers (arXiv 2412.18552, section 4.1, appendix C, and its reference code) ---


def test_the_papers_pretraining_is_the_papers():
    pretrain = the("paper", "pretrain")
    assert pretrain.student == "google-t5/t5-base"
    assert (pretrain.max_input, pretrain.max_target) == (128, 400)
    settings = settings_of(pretrain, 199_500)  # those of 100 thousand reviews that are not held out
    assert (settings.steps, settings.pairs_per_step, settings.pairs_per_forward) == (20_000, 100, 20)
    assert (settings.lr, settings.final_lr, settings.warmup_steps) == (3e-3, 1e-5, 0)
    assert (settings.weight_decay, settings.max_grad_norm, settings.schedule, settings.seed) == (0.0, 1.0, "paper", 42)
    assert (pretrain.validation_pairs, settings.validate_every) == (500, 2000)
    (general,) = papers_runs("instructions")
    assert (general.steps * general.pairs_per_step, general.instructions_teacher) == (2_580_000, "gpt-3.5-turbo")


def test_the_papers_fine_tuning_is_the_papers():
    fsa, baselines, instructabsa = of("paper", "finetune")
    quads, scarce = (the("paper", f"sweeps/finetune_{name}") for name in ("quads", "scarce"))
    for finetune in (fsa, baselines, instructabsa, scarce):
        assert finetune.configs == ["tsa-rest14", "tsa-laptop14", "asa-rest16", "asa-laptop16"]
        assert finetune.seeds == [42, 52, 62, 72, 82, 142, 152, 162, 172, 182]
    assert (fsa.train_shares, quads.train_shares, 1.0 in scarce.train_shares) == ([1.0], [1.0], False)
    assert quads.configs == ["acos-laptop16", "acos-rest16", "asqp-rest15", "asqp-rest16"]
    assert quads.seeds == [42, 52, 62, 72, 82]
    for finetune, test_num_beams in ((fsa, 1), (baselines, 1), (instructabsa, 1), (quads, 4), (scarce, 1)):
        assert {key: getattr(finetune, key) for key in Finetuning.__dataclass_fields__} == {
            "epochs": 20,
            "lr": 3e-4,
            "batch_size": 16,
            "eval_batch_size": 64,
            "weight_decay": 0.01,
            "max_grad_norm": 1.0,
            "max_length": 100,
            "test_num_beams": test_num_beams,
        }


TEACHERS = ("llama-2-7b-chat-hf", "mixtral-8x7b-instruct-v0.1", "gpt-3.5-turbo")
MILLION = "sentiment-understanding-corpus-1m"


def papers_runs(*objectives: str) -> list:
    return [run for run in of("paper", "pretrain", CONFIGS + SWEEPS) if run.objective in objectives]


def test_the_papers_table_of_distilled_students_has_a_run_for_each_of_its_rows():
    """Table 4: three teachers × ANL w/o R, ANL w/o L, ANL, RW, both; two of them with a million reviews."""
    rows = {
        (*run.teachers, run.corpus, *run.corpus_configs): run.name
        for run in papers_runs("distillation")
        if run.student == "google-t5/t5-base" and not (run.reviews_limit or run.soft_teacher or run.keep_share < 1)
    }
    prompts = [("analysis-without-reasoning",), ("analysis-without-labels",), ("analysis",), ("rewriting",), ()]
    hundred_thousand = {(teacher, "", *prompt) for teacher in TEACHERS for prompt in prompts}
    assert set(rows) == hundred_thousand | {(teacher, MILLION) for teacher in TEACHERS[:2]}
    finetunes = of("paper", "finetune", CONFIGS + SWEEPS)
    on_fsa = [run for run in finetunes if run.configs == the("paper", "finetune").configs and 1.0 in run.train_shares]
    scored = {repo for run in on_fsa for _, repo in load_recipe("finetune").named(run.models)}
    assert set(rows.values()) <= scored

    runs = of("paper", "pretrain", CONFIGS + SWEEPS)
    assert {run.objective for run in runs} == {"distillation", "span-corruption", "rating", "instructions"}
    assert {run.student for run in runs} == {f"google-t5/t5-{size}" for size in ("small", "base", "large")}  # Figure 4


def test_the_papers_sampling_schemes_have_a_run_each_and_none_twice():
    """Table 6: 100 thousand reviews by each of three schemes."""
    drawn = [run for run in papers_runs("distillation") if run.reviews_limit == 100_000]
    assert sorted(run.scheme for run in drawn) == ["R00100", "R11111", "R12421"]
    repos = {run.name for run in drawn}
    models = dict(load_recipe("finetune").named(the("paper", "sweeps/finetune_reviews").models))
    assert {models[label] for label in the("paper", "sweeps/report").sampling} == repos


def test_the_paper_is_of_one_teacher_a_run_and_of_a_corpus_that_is_large_enough():
    """A repo may hold several teachers' texts, but not 100 thousand reviews and a million."""
    for run in papers_runs("distillation", "span-corruption", "rating"):
        assert len(run.teachers) == 1
        assert run.corpus == (MILLION if run.reviews_limit or run.name.endswith("-1m") else "")
        assert run.reviews_limit < 1_000_000
    assert the("paper", "build_corpus").corpus == ""
    folder = ROOT / "recipes" / "configs" / "paper" / "sweeps"
    assert f"--corpus {MILLION}\n" in header_of(folder / "pretrain_reviews.yaml")
    assert "see pretrain_reviews.yaml" in header_of(folder / "pretrain_sampling.yaml")
    assert "the corpus of pretrain_reviews.yaml" in header_of(folder / "pretrain_teachers.yaml")


def test_every_teacher_of_the_paper_labels_both_domains_by_the_name_that_pretraining_asks_for():
    folder = ROOT / "recipes" / "configs" / "paper"
    paths = [*folder.glob("label_reviews_*.yaml"), *(folder / "teachers").glob("label_reviews_*.yaml")]
    labels = [label for path in sorted(paths) for label in arguments_of(path)]
    given = header_of(folder / "sweeps" / "pretrain_teachers.yaml").partition("--replies")[2].split()
    for teacher in TEACHERS:  # as the teachers of hub_tools/teachers name themselves
        own = [label for label in labels if label.model.rpartition("/")[2].lower() == teacher and label.n == 50_000]
        assert {label.domain for label in own} == {"restaurant", "laptop"}
        assert {(label.scheme, label.seed) for label in own} == {("R12421", 42)}
        assert {label.replies for label in own} <= set(given)


def test_the_papers_students_of_a_million_reviews_are_those_of_figure_5_and_table_13():
    named = load_recipe("finetune").named
    one_million = {"distilled-1m": "t5-sentiment-base-1m", "base": "google-t5/t5-base"}
    assert dict(named(the("paper", "sweeps/finetune_scarce").models)) == one_million
    assert dict(named(the("paper", "sweeps/finetune_quads").models)) == one_million | {
        "llama-1m": "t5-sentiment-base-llama-1m", "gpt": "t5-sentiment-base-gpt",
    }  # fmt: skip


def test_the_papers_reviews_are_sampled_as_the_papers():
    """100 thousand reviews, half of either domain."""
    labels = of("paper", "label_reviews")
    assert {label.domain for label in labels} == {"restaurant", "laptop"}
    assert [(label.n, label.scheme) for label in labels] == [(50_000, "R12421")] * 2
    assert {label.model for label in labels} == {"mistralai/Mixtral-8x7B-Instruct-v0.1"}


# --- Hardware --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", sorted((ROOT / "recipes" / "configs" / "accelerate").glob("*.yaml")), ids=lambda path: path.stem
)
def test_accelerate_takes_the_hardware_files(config):
    from accelerate.commands.config.config_args import load_config_from_file

    assert re.match(r"# .*\b([CG]PUs?)\b", config.read_text(encoding="utf-8").splitlines()[0])
    loaded = load_config_from_file(str(config))
    assert loaded.num_processes >= 1
    assert loaded.mixed_precision is None  # the recipes decide that by the device, and by `--bf16`
    # accelerate starts one process only under NO and MULTI_CPU, whatever num_processes says
    assert (loaded.distributed_type in ("MULTI_GPU", "FSDP")) == (loaded.num_processes > 1)
