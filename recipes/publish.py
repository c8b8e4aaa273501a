"""
Puts the metric and the demo into people's hands: uploads their folders as Spaces.

Reads:  metrics/fsa_f1, spaces/t5_sentiment of this checkout, and the students that the Space is to show.
Writes: the Spaces <namespace>/fsa_f1 (for `evaluate.load`) and <namespace>/t5_sentiment.

accelerate launch recipes/publish.py recipes/configs/demo/publish.yaml
"""

from dataclasses import dataclass, field
from pathlib import Path

import evaluate
from accelerate import PartialState

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.hub.push import push_space
from hub_tools.hub.runs import resolve_input


HERE = Path(__file__).resolve().parents[1]


@dataclass
class Publish:
    namespace: str = field(metadata={"help": "user or organisation that owns the Spaces"})
    students: list[str] = field(
        metadata={"help": "repos of fine-tuned students for the demo, the first is its default"}
    )
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "who may see the Spaces"})


def main() -> None:
    arguments = parse_arguments(Publish)
    if not PartialState().is_main_process:
        return
    students = [name if "/" in name else f"{arguments.namespace}/{name}" for name in arguments.students]
    for student in students:
        resolve_input(student, "model")  # a Space that cannot load its student is not published

    metric, space = f"{arguments.namespace}/fsa_f1", f"{arguments.namespace}/t5_sentiment"
    push_space(HERE / "metrics" / "fsa_f1", metric, private=arguments.private)
    push_space(
        HERE / "spaces" / "t5_sentiment",
        space,
        private=arguments.private,
        variables={"FSA_STUDENT": ",".join(students)},
    )
    evaluate.utils.logging.disable_progress_bar()
    example = {"predictions": ["food | positive"], "references": ["food | positive"], "sentences": ["Good food."]}
    scored = evaluate.load(metric, download_mode="force_redownload").compute(**example, task="tsa")
    if scored["f1"] != 1.0:
        raise RuntimeError(f"{metric} was pushed, but scores a perfect answer {scored['f1']}; see metrics/fsa_f1.")
    print(f'publish: pushed the Spaces {metric} (evaluate.load("{metric}") works) and {space}.')


if __name__ == "__main__":
    run_stage(main)
