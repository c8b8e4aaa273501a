"""Every YAML under recipes/configs: that its recipe takes it, says what it needs, and fits the others of its set."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from hub_tools.arguments import read_arguments
from hub_tools.students.finetuning import Finetuning
from tests.recipes.recipe_files import CONFIGS, RECIPES, ROOT, SETS, arguments_type, load_recipe, recipe_of


by_name = pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
by_set = pytest.mark.parametrize("name", SETS)


@cache
def arguments_of(config: Path):
    return read_arguments(arguments_type(recipe_of(config)), [str(config)])


def of(name: str, recipe: str) -> list:
    """The arguments that the set `name` has for a recipe, one for each of its YAMLs."""
    folder = ROOT / "recipes" / "configs" / name
    return [arguments_of(path) for path in CONFIGS if path.parent == folder and recipe_of(path) == recipe]


def the(name: str, recipe: str):
    (arguments,) = of(name, recipe)
    return arguments


@by_name
def test_its_recipe_takes_it(config):
    given = yaml.safe_load(config.read_text(encoding="utf-8"))
    arguments = arguments_of(config)
    assert {key: getattr(arguments, key) for key in given} == given


@by_name
def test_its_first_line_names_the_hardware(config):
    assert re.match(r"# .*\b([CG]PUs?)\b", config.read_text(encoding="utf-8").splitlines()[0])


@by_name
def test_what_a_set_keeps_lies_in_its_own_folder(config):
    """So that two sets never share checkpoints or cells."""
    runs = getattr(arguments_of(config), "runs", None)
    assert runs in (None, f"build/{config.parent.name}/runs", "build/runs")
    assert config.parent.name == "paper" or runs != "build/runs"


@by_set
def test_a_set_has_a_yaml_for_every_stage(name):
    assert [recipe for recipe in RECIPES if not of(name, recipe)] == []


@by_set
def test_a_sets_stages_pass_their_work_on(name):
    everything = [arguments_of(path) for path in CONFIGS if path.parent.name == name]
    assert len({(arguments.namespace, arguments.hub) for arguments in everything}) == 1
    labelled = [arguments.replies for arguments in of(name, "label_reviews")]
    assert sorted(the(name, "build_corpus").replies) == sorted(labelled)

    named, published = load_recipe("finetune").named, set()
    for finetune in of(name, "finetune"):
        load_recipe("finetune").check(finetune)
        repos = {reference.partition("@")[0] for reference in dict(named(finetune.models)).values()}
        assert repos & {the(name, "pretrain").name, "google-t5/t5-base"}
        assert set(dict(named(finetune.teachers)) if finetune.teachers else ()) == set(finetune.publish)
        assert set(finetune.configs) <= set(the(name, "build_benchmark").configs)
        published |= {f"{finetune.name}-{config}" for config in finetune.configs if finetune.publish}
    assert set(the(name, "publish").students) <= published


@by_set
def test_a_comparison_gives_both_sides_the_same_budget(name):
    """In each YAML, one set of hyper-parameters and seeds for base and distilled student; at least two seeds.

    Students in the instruction form may have a YAML of their own, with what the main one says of training."""
    main = arguments_of(ROOT / "recipes" / "configs" / name / "finetune.yaml")
    for finetune in of(name, "finetune"):
        labels = set(dict(load_recipe("finetune").named(finetune.models)))
        if labels == set(finetune.instructed):
            assert finetune.seeds == main.seeds
            assert set(finetune.configs) <= set(main.configs)
            training = load_recipe("finetune").Finetuning.__dataclass_fields__
            assert all(getattr(finetune, key) == getattr(main, key) for key in training)
        else:
            assert labels - set(finetune.instructed) == {"base", "distilled"}
        assert len(set(finetune.seeds)) == len(finetune.seeds) >= 2


@by_set
def test_no_two_yamls_compute_the_same_cells(name):
    """They would replace each other's rows in the results."""
    recipe, cells = load_recipe("finetune"), []
    for finetune in of(name, "finetune"):
        models = {label: ("me/t5", "c0ffee") for label, _ in recipe.named(finetune.models)}
        cells += [cell.facts() for cell in recipe.plan(finetune, models)]
    assert len({tuple(cell.values()) for cell in cells}) == len(cells)


@by_set
def test_pretraining_settings_can_be_made(name):
    settings = load_recipe("pretrain").settings(the(name, "pretrain"), 1000)
    assert settings.steps >= 1


@pytest.mark.parametrize("name", ["demo", "real"])
def test_what_runs_on_two_cores_needs_no_account(name):
    assert {arguments_of(path).hub for path in CONFIGS if path.parent.name == name} == {"embedded"}


@by_name
def test_only_the_generated_sample_is_public(config):
    assert arguments_of(config).private or config.parent.name == "demo"


# --- The paper's numbers (arXiv 2412.18552, section 4.1, appendix C, and its reference code) ---


def test_the_papers_pretraining_is_the_papers():
    pretrain = the("paper", "pretrain")
    assert pretrain.student == "google-t5/t5-base"
    assert (pretrain.max_input, pretrain.max_target) == (128, 400)
    settings = load_recipe("pretrain").settings(pretrain, 200_000)
    assert (settings.steps, settings.pairs_per_step, settings.pairs_per_forward) == (20_000, 100, 20)
    assert (settings.lr, settings.final_lr, settings.warmup_steps) == (3e-3, 1e-5, 0)
    assert (settings.weight_decay, settings.max_grad_norm, settings.schedule, settings.seed) == (0.0, 1.0, "paper", 42)
    assert (pretrain.validation_pairs, settings.validate_every) == (500, 2000)


def test_the_papers_fine_tuning_is_the_papers():
    fsa, instructabsa, quads, scarce = of("paper", "finetune")
    for finetune in (fsa, instructabsa, scarce):
        assert finetune.configs == ["tsa-rest14", "tsa-laptop14", "asa-rest16", "asa-laptop16"]
        assert finetune.seeds == [42, 52, 62, 72, 82, 142, 152, 162, 172, 182]
    assert (fsa.train_shares, quads.train_shares, 1.0 in scarce.train_shares) == ([1.0], [1.0], False)
    assert quads.configs == ["acos-laptop16", "acos-rest16", "asqp-rest15", "asqp-rest16"]
    assert quads.seeds == [42, 52, 62, 72, 82]
    for finetune, test_num_beams in ((fsa, 1), (instructabsa, 1), (quads, 4), (scarce, 1)):
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
    # accelerate starts one process only under NO and MULTI_CPU, whatever num_processes says
    assert (loaded.distributed_type == "MULTI_GPU") == (loaded.num_processes > 1)
