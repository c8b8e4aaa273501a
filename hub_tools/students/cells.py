"""One cell of the grid from beginning to end: read its data and model, fine-tune, predict, keep."""

from collections.abc import Callable
from dataclasses import dataclass

from accelerate import PartialState
from datasets import load_dataset

from hub_tools.benchmarks.configs import headline_split
from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.evaluation.results import prediction_rows, result_rows
from hub_tools.students.finetuning import TRAINING_SPLITS, Epoch, Finetuning, draw_share, finetune, predict
from hub_tools.students.instructions import choose_examples, fill, instruction
from hub_tools.students.models import load_student, save_student


@dataclass(frozen=True)
class Grid:
    """What the cells of a run share."""

    benchmark: str  # Hub id
    revision: str  # its commit
    settings: Finetuning
    store: CellStore
    publish: tuple[str, ...] = ()  # labels of models whose students are kept


def run_cell(cell: Cell, grid: Grid, hear: Callable[[Epoch], None] = lambda epoch: None) -> None:
    """
    Fine-tunes and scores one cell; the main process keeps its outcome, and its student if it may be published.

    The student learns from its share of `train`, is chosen on all of `validation`, and predicts the split that stands
    for the config. With the input form "instruction" it reads each sentence within an instruction and examples that
    are drawn from its own training sentences under its seed; its config.json keeps that as `fsa_instruction`.

    Raises:
        ValueError: the config lacks a split.
    """
    data = load_dataset(grid.benchmark, cell.config, revision=grid.revision)
    needed = (*TRAINING_SPLITS, headline_split(cell.config))
    if not {*needed} <= {*data}:
        raise ValueError(
            f"{cell.config} of {grid.benchmark} has the splits {', '.join(data)}; needed: {', '.join(needed)}. "
            f"`fsa convert … --push {grid.benchmark}` writes them."
        )
    rows = {split: data[split].to_list() for split in needed}
    rows["train"] = draw_share(rows["train"], cell.train_share, cell.seed)
    model, tokenizer = load_student(cell.repo_id, cell.revision)
    model.config.fsa_input_form = cell.input_form
    if getattr(model.config, "fsa_instruction", None):  # the model is a student that learned with one
        model.config.fsa_instruction = None
    if cell.input_form == "instruction":
        template = instruction(cell.task, choose_examples(rows["train"], cell.task, cell.seed))
        model.config.fsa_instruction = template
        rows = {
            split: [{**row, "input": fill(template, row["sentence"])} for row in part] for split, part in rows.items()
        }
    test = rows.pop(headline_split(cell.config))
    student = finetune(model, tokenizer, rows, cell.task, cell.seed, grid.settings, hear)
    predictions = prediction_rows(test, predict(student.model, tokenizer, test, grid.settings), cell.seed)
    state = PartialState()
    if state.is_main_process:
        headline = result_rows(predictions, cell.config, {}, splits=[headline_split(cell.config)])[0]
        outcome = {**student.facts(), "f1": headline["f1"], "strict_f1": headline["strict_f1"]}
        folder = grid.store.work(cell) / "student" if cell.model in grid.publish else None
        if folder:
            save_student(student.model, tokenizer, folder)
        grid.store.keep(cell, {**outcome, "predictions": predictions}, folder)
    state.wait_for_everyone()
