"""Which reviews, and how many of which stars: the flat settings of a labelling run."""

from dataclasses import dataclass, field


@dataclass
class ReviewSettings:
    """What decides the reviews; `readers.read_reviews` reads them, `sampling.sample_to_parquet` draws from them."""

    data: str = field(default="", metadata={"help": "folder that holds the files"})
    files: list[str] = field(
        default_factory=list,
        metadata={
            "help": "review files or folders of them, below `data`, or Hub datasets as "
            "`hub:<owner>/<name>[@revision][/config][:split]`"
        },
    )
    format: str = field(
        default="auto", metadata={"help": "`reviews`, `yelp`, `amazon`, `columns`, or `auto`: told by the first row"}
    )
    text_column: str = field(default="", metadata={"help": "columns: the review; default: the usual names"})
    rating_column: str = field(default="", metadata={"help": "columns: 1 to 5 stars; default: none"})
    id_column: str = field(default="", metadata={"help": "columns: a unique name; default: file and row number"})
    domain_column: str = field(default="", metadata={"help": "columns: what is reviewed; default: see `domain`"})
    domain: str = field(default="", metadata={"help": "what is reviewed, e.g. `restaurant`: names the corpus config"})
    licence: str = field(default="", metadata={"help": "terms of the reviews; known for Yelp and Amazon"})
    category: str = field(
        default="",
        metadata={
            "help": "yelp, amazon: keep reviews of this category of business or product, e.g. `Restaurants`, "
            "`Laptops`, told by the file of businesses or products (`meta_…`) beside the reviews"
        },
    )
    n: int = field(default=100_000, metadata={"help": "reviews to draw, of those that fit"})
    scheme: str = field(
        default="R12421",
        metadata={"help": "multipliers of 1 to 5 stars on their natural shares: `R12421`, or `0.5,1,2.5,1,1`"},
    )
    min_words: int = field(default=3, metadata={"help": "of the shortest review"})
    max_words: int = field(default=180, metadata={"help": "of the longest review; 0: no limit"})
    near_duplicates: float = field(
        default=0.8,
        metadata={"help": "drop a review that shares so much (0 to 1) of its three-word runs with another; 0: keep"},
    )
