"""The shipped sample: reviews and a benchmark, generated from a seed, in the official files' layout.

    python -m hub_tools.reviews.sample FOLDER [--seed N]

Writes: FOLDER/reviews/{restaurant,laptop}.jsonl (no gold labels) and
FOLDER/fsa_datasets/w_hard/{atsa/rest14,atsa/laptop14,acsa/rest16,acsa/laptop16}/{train,dev,test,hard_test}.json in
the raw record format of the paper 1 (arXiv 2412.18552) files, so that one reader serves both. No sentence occurs in
two splits, and no review contains a benchmark sentence. Train and dev lean on common expressions; test sentences
and reviews use all of them, so reading reviews teaches what the small annotated set cannot.
"""

import argparse
import json
import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from .sentences import HARD_KINDS, KINDS, Composer, Opinion, Sentence


VERSION = 2
MANIFEST = "sample.json"
SETS = {
    "atsa/rest14": "restaurant",
    "atsa/laptop14": "laptop",
    "acsa/rest16": "restaurant",
    "acsa/laptop16": "laptop",
}
# Share of each polarity in a review of so many stars; a review of 3 stars is the mixed one.
_POLARITIES = {5: (0.94, 0.0, 0.06), 4: (0.76, 0.16, 0.08), 3: (0.42, 0.42, 0.16), 2: (0.2, 0.72, 0.08), 1: (0, 1, 0)}
_STARS = (0.14, 0.12, 0.16, 0.24, 0.34)
_RETRIES = 1000


def generate(
    folder: Path,
    seed: int = 42,
    reviews: int = 900,
    train: int = 160,
    dev: int = 40,
    test: int = 60,
    hard: int = 40,
) -> None:
    """Write the sample into a folder, whole or not at all.

    Args:
        folder: where to write. A folder that already holds this very sample is left as it is.
        seed: decides every sentence.
        reviews: how many reviews in all, half of each domain.
        train, dev, test, hard: sentences per benchmark set and split.

    Raises:
        FileExistsError: the folder holds something else.
    """
    folder = Path(folder)
    made_from = {
        "version": VERSION,
        "seed": seed,
        "sizes": {"reviews": reviews, "train": train, "dev": dev, "test": test, "hard": hard},
    }
    if folder.exists() and any(folder.iterdir()):
        if _manifest(folder) == made_from:
            return
        raise FileExistsError(f"{folder} is not empty and is not this sample; name another folder or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        used = _write_benchmark(draft, seed, {"train": train, "dev": dev, "test": test, "hard_test": hard})
        _write_reviews(draft, seed, reviews, used)
        (draft / MANIFEST).write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")
        draft.chmod(0o755)  # mkdtemp makes it private
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _manifest(folder: Path) -> dict | None:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def plain(text: str) -> str:
    """Lower case, letters and digits only: what counts as the same sentence.

    >>> plain("The pasta, too, was GOOD!")
    'the pasta too was good'
    """
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _write_benchmark(draft: Path, seed: int, sizes: dict[str, int]) -> set[str]:
    used: set[str] = set()
    hard: dict[str, list[Sentence]] = {}
    for name, domain in SETS.items():
        for split, size in sizes.items():
            rng = random.Random(f"{seed} {name} {split}")
            composer = Composer(domain, rng, common=0.8 if split in ("train", "dev") else 0.0)
            if split == "hard_test":  # as in the official files, both sets of a domain share their hard sentences
                if domain not in hard:
                    hard[domain] = _distinct(size, used, lambda c=composer: _compose(c, HARD_KINDS))
                sentences = hard[domain]
            else:
                kinds = KINDS if name.endswith("14") else {k: w for k, w in KINDS.items() if k != "conflict"}
                sentences = _distinct(size, used, lambda c=composer, k=kinds: _compose(c, k))
            key = domain if split == "hard_test" else name.replace("/", "-")
            records = [_record(f"{key}-{split}:{n}", s, name, split) for n, s in enumerate(sentences)]
            path = draft / "fsa_datasets" / "w_hard" / name / f"{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8-sig")
    return used


def _compose(composer: Composer, kinds: dict[str, float]) -> Sentence:
    kind = composer.rng.choices(list(kinds), list(kinds.values()))[0]
    polarity = None
    if kinds is HARD_KINDS:  # a neutral implicit sentence would be a bare mention: not hard
        polarity = composer.rng.choice(("positive", "negative"))
    return composer.sentence(kind, polarity)


def _distinct(size: int, used: set[str], compose: Callable[[], Sentence]) -> list[Sentence]:
    """`size` new sentences; remembers them in `used`."""
    found: list[Sentence] = []
    for _ in range(size * _RETRIES):
        if len(found) == size:
            return found
        sentence = compose()
        if plain(sentence.text) not in used:
            used.add(plain(sentence.text))
            found.append(sentence)
    if len(found) == size:
        return found
    raise ValueError(f"only {len(found)} of {size} distinct sentences could be composed; ask for fewer")


def _record(record_id: str, sentence: Sentence, name: str, split: str) -> dict:
    """One raw record. The targeted sets also annotate what is only mentioned, as SemEval-14 does."""
    opinions: Iterable[Opinion] = sentence.opinions
    if name.startswith("atsa") and split != "hard_test":
        opinions = sorted((*sentence.opinions, *sentence.mentions), key=lambda opinion: opinion.start)
        opinions = [opinion for opinion in opinions if opinion.target is not None]
    aspects = [_aspect(opinion, name, split) for opinion in opinions]
    record = {"ID": record_id, "sentence": sentence.text, "aspects": aspects}
    return {**record, "aspects2": aspects} if split == "hard_test" else record


def _aspect(opinion: Opinion, name: str, split: str) -> dict:
    """The official files' habits: string offsets but in hard_test, several ways to say that there is no target."""
    start, end, target = opinion.start, opinion.end, opinion.target
    if split == "hard_test":
        place = {"from": start, "to": end, "target": target} if target else dict.fromkeys(("from", "to", "target"))
    elif name == "acsa/laptop16":
        place = dict.fromkeys(("from", "to", "target"))
    elif target is None:
        place = {"from": "0", "to": "0", "target": "NULL"}
    else:
        place = {"from": str(start), "to": str(end), "target": target}
    category = None if name.startswith("atsa") and split != "hard_test" else opinion.category
    aspect = {**place, "category": category, "polarity": opinion.polarity}
    if split == "hard_test" or (split == "test" and name.startswith("acsa")):
        aspect["opinion_words"] = [{"from": s, "to": e, "opinion": text} for s, e, text in opinion.words]
    elif split == "test":
        aspect["opinion_words"] = opinion.words[0][2] if opinion.words else None
    return aspect


def _write_reviews(draft: Path, seed: int, count: int, used: set[str]) -> None:
    known = [f" {sentence} " for sentence in used]
    (draft / "reviews").mkdir()
    for domain in dict.fromkeys(SETS.values()):
        composer = Composer(domain, random.Random(f"{seed} {domain} reviews"))
        size = count - count // 2 if domain == "restaurant" else count // 2
        lines: list[str] = []
        texts: set[str] = set()
        while len(lines) < size:
            text, stars = _review(composer)
            words = f" {plain(text)} "
            if text in texts or any(sentence in words for sentence in known):
                continue
            texts.add(text)
            row = {"review_id": f"{domain}-{len(lines):05d}", "domain": domain, "text": text, "rating": stars}
            lines.append(json.dumps({**row, "licence": "apache-2.0"}, ensure_ascii=False))
        content = "".join(line + "\n" for line in lines)
        (draft / "reviews" / f"{domain}.jsonl").write_text(content, encoding="utf-8")


def _review(composer: Composer) -> tuple[str, int]:
    """One to three sentences whose polarities agree with the stars."""
    rng = composer.rng
    stars = rng.choices((1, 2, 3, 4, 5), _STARS)[0]
    kinds = {"explicit": 0.32, "same": 0.18, "implicit": 0.3, "mention": 0.08, "plain": 0.12}
    if 1 < stars < 5:
        kinds |= {"opposite": 0.14, "explicit+implicit": 0.14}
    sentences = []
    for number in range(rng.randint(1, 3)):
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        kind = "explicit" if number == 0 and kind in ("mention", "plain") else kind
        polarity = rng.choices(("positive", "negative", "neutral"), _POLARITIES[stars])[0]
        sentences.append(composer.sentence(kind, polarity).text)
    return " ".join(sentences), stars


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the shipped sample into a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    generate(arguments.folder, arguments.seed)


if __name__ == "__main__":
    main()
