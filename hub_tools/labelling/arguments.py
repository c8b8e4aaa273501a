"""What a labelling run is told: the keys of label_reviews.yaml, for the recipe and for `fsa plan`."""

from dataclasses import dataclass, field
from pathlib import Path

from hub_tools.prompts import BUILDERS
from hub_tools.reviews.settings import ReviewSettings
from hub_tools.teachers.costs.budget import BudgetSettings
from hub_tools.teachers.settings import TEACHERS, TeacherSettings

from .requests import Shard


@dataclass(kw_only=True)
class LabelReviews(TeacherSettings, BudgetSettings, ReviewSettings):
    """One run of one teacher over one sample of reviews."""

    namespace: str = field(metadata={"help": "user or organisation that owns the repo"})
    replies: str = field(metadata={"help": "name of the repo to write, e.g. replies-lexicon"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "reviews come with terms of their own: keep this private"})
    runs: str = field(default="build/runs", metadata={"help": "folder for the journal and the sample of reviews"})
    prompts: list[str] = field(default_factory=lambda: list(BUILDERS), metadata={"help": ", ".join(BUILDERS)})
    shard: str = field(default="", metadata={"help": "`i/n`: label every n-th review from the i-th (from 0) only"})
    ask_refused: bool = field(default=False, metadata={"help": "ask again also what was refused for good"})
    push_every: int = field(default=0, metadata={"help": "push finished replies every so many; 0: at the end"})

    def check(self) -> None:
        """Refuse what can be seen to be wrong before anything is read.

        Raises:
            ValueError: an unknown teacher or prompt, no prompt, or a malformed shard.
        """
        if unknown := sorted(set(self.prompts) - set(BUILDERS)):
            raise ValueError(f"unknown prompt {', '.join(unknown)}; allowed: {', '.join(BUILDERS)}.")
        if not self.prompts:
            raise ValueError(f"`prompts` names none; allowed: {', '.join(BUILDERS)}.")
        if self.teacher not in TEACHERS:
            raise ValueError(f"teacher '{self.teacher}' is unknown; allowed: {', '.join(TEACHERS)}.")
        if self.push_every < 0:
            raise ValueError(f"`push_every` is {self.push_every}; allowed: a number of replies, or 0.")
        Shard.parse(self.shard)

    @property
    def name(self) -> str:
        """The repo's and the journal's name: `replies`, and which shard it is."""
        return f"{self.replies}{Shard.parse(self.shard).suffix}"

    @property
    def repo_id(self) -> str:
        """The repo that is written."""
        return f"{self.namespace}/{self.name}"

    @property
    def journal_file(self) -> Path:
        """Where the replies are kept as they come."""
        return Path(self.runs) / f"{self.name}.sqlite"

    @property
    def reviews_file(self) -> Path:
        """Where the drawn reviews are kept."""
        return Path(self.runs) / f"{self.name}.reviews.parquet"
