"""SemEval's XML: 2014 Task 4 (`semeval2014`), and 2015 Task 12 and 2016 Task 5 (`semeval2016`), as published.

2014 annotates aspect terms and aspect categories apart, each for a task of its own. From 2015 on an opinion has a
category and perhaps a target. Targets stand at `from`–`to` (characters).
"""

import re
from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from hub_tools.benchmarks.formats.fitting import NOT_XML, Format
from hub_tools.benchmarks.formats.problems import FormatError, Problems
from hub_tools.benchmarks.formats.rows import IMPLICIT, Draft, opinion
from hub_tools.benchmarks.records import Row


DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


class Node(Element):
    """An element that knows its line."""

    line: int = 0


def read_2014_terms(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """`<sentences><sentence id><text/><aspectTerms><aspectTerm term polarity from to/>…`."""
    drafts, root = [], _root(data, problems, "sentences")
    _pass_over(root, "aspectCategory", problems)
    for sentence in root.iter("sentence"):
        draft = _draft(sentence)
        for node in sentence.iter("aspectTerm"):
            term, polarity = _attribute(node, "term", draft), _attribute(node, "polarity", draft)
            draft.add(opinion(term, **_span(node, draft), polarity=polarity), node.line)
        drafts.append(draft)
    return drafts


def read_2014_categories(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """`<sentences><sentence id><text/><aspectCategories><aspectCategory category polarity/>…`."""
    drafts, root = [], _root(data, problems, "sentences")
    _pass_over(root, "aspectTerm", problems)
    for sentence in root.iter("sentence"):
        draft = _draft(sentence)
        for node in sentence.iter("aspectCategory"):
            category, polarity = _attribute(node, "category", draft), _attribute(node, "polarity", draft)
            draft.add(opinion(category=category, polarity=polarity), node.line)
        drafts.append(draft)
    return drafts


def read_2016(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """`<Reviews><Review rid><sentences><sentence id><text/><Opinions><Opinion target category polarity from to/>…`."""
    root = _root(data, problems, "Reviews")
    out_of_scope = sum(node.get("OutOfScope", "").upper() == "TRUE" for node in root.iter("sentence"))
    problems.notes["sentences marked OutOfScope have no opinions; rows do not keep the mark"] += out_of_scope
    problems.notes["opinions on whole reviews were passed over"] += sum(
        len(node) for review in root.iter("Review") for node in review if node.tag == "Opinions"
    )
    drafts = []
    for sentence in root.iter("sentence"):
        draft = _draft(sentence)
        for node in sentence.iter("Opinion"):
            target, polarity = node.get("target"), _attribute(node, "polarity", draft)
            span = {} if target in (None, IMPLICIT) else _span(node, draft)
            draft.add(opinion(target, **span, category=node.get("category"), polarity=polarity), node.line)
        drafts.append(draft)
    return drafts


def write_2014_terms(rows: Sequence[Row], task: str) -> str:
    """A sentence's targets as aspect terms."""

    def term(item: Row) -> str:
        said = {"term": item["target"], "polarity": item["polarity"], "from": item["start"], "to": item["end"]}
        return f"      <aspectTerm{_attributes(**said)}/>"

    return _written_2014(rows, "aspectTerms", term)


def write_2014_categories(rows: Sequence[Row], task: str) -> str:
    """A sentence's categories."""

    def category(item: Row) -> str:
        said = {"category": item["category"], "polarity": item["polarity"]}
        return f"      <aspectCategory{_attributes(**said)}/>"

    return _written_2014(rows, "aspectCategories", category)


def _written_2014(rows: Sequence[Row], group: str, line: Callable[[Row], str]) -> str:
    lines = [DECLARATION, "<sentences>"]
    for row in rows:
        lines += [f"  <sentence{_attributes(id=row['id'])}>", f"    <text>{_escaped(row['sentence'])}</text>"]
        if row["opinions"]:
            lines += [f"    <{group}>", *map(line, row["opinions"]), f"    </{group}>"]
        lines.append("  </sentence>")
    return "\n".join([*lines, "</sentences>"]) + "\n"


def write_2016(rows: Sequence[Row], task: str) -> str:
    """Sentences in reviews, as their ids say it: "1004293:0" is of review 1004293."""
    lines = [DECLARATION, "<Reviews>"]
    review = None
    for row in rows:
        own = row["id"].rpartition(":")[0] or row["id"]
        if own != review:
            lines += ["    </sentences>", "  </Review>"] if review is not None else []
            lines += [f"  <Review{_attributes(rid=own)}>", "    <sentences>"]
            review = own
        lines += [f"      <sentence{_attributes(id=row['id'])}>", f"        <text>{_escaped(row['sentence'])}</text>"]
        if row["opinions"]:
            lines += ["        <Opinions>", *map(_opinion_2016, row["opinions"]), "        </Opinions>"]
        lines.append("      </sentence>")
    lines += ["    </sentences>", "  </Review>"] if review is not None else []
    return "\n".join([*lines, "</Reviews>"]) + "\n"


def _opinion_2016(item: Row) -> str:
    said = {"target": IMPLICIT if item["target"] is None else item["target"]}
    said |= {"category": item["category"]} if item["category"] is not None else {}
    said |= {"polarity": item["polarity"], "from": item["start"] or 0, "to": item["end"] or 0}
    return f"          <Opinion{_attributes(**said)}/>"


def _root(data: bytes, problems: Problems, tag: str) -> Node:
    """The root element. A document type is refused: with it come entities that grow without end or name files."""
    builder = TreeBuilder(element_factory=Node)
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, attributes).line = parser.CurrentLineNumber

    def refuse(*_: object) -> None:
        raise problems.fatal(parser.CurrentLineNumber, "holds a <!DOCTYPE>, which is refused; remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    if not data.strip():
        raise problems.fatal(None, "is empty")
    try:
        parser.Parse(data, True)
    except FormatError:
        raise
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise problems.fatal(error.lineno, f"not XML ({reason}, column {error.offset + 1})") from error
    except (LookupError, ValueError) as error:  # an encoding that is not known, or of several bytes a character
        raise problems.fatal(1, f"its encoding cannot be read ({error}); save it as UTF-8") from error
    root = builder.close()
    if root.tag != tag:
        raise problems.fatal(root.line, f"expected <{tag}>, found <{root.tag}>")
    return root


def _pass_over(root: Node, tag: str, problems: Problems) -> None:
    count = sum(1 for _ in root.iter(tag))
    problems.notes[f"<{tag}> elements are of another task and were passed over"] += count


def _draft(sentence: Node) -> Draft:
    text = sentence.findtext("text")
    wrong = [(sentence.line, "<sentence> has no <text>")] if text is None else []
    return Draft(sentence.line, sentence.get("id"), text or "", wrong=wrong)


def _attribute(node: Node, name: str, draft: Draft) -> str:
    value = node.get(name)
    if value is None:
        draft.wrong.append((node.line, f"<{node.tag}> has no {name!r}; found: {', '.join(node.keys()) or 'nothing'}"))
    return value or ""


def _span(node: Node, draft: Draft) -> dict[str, int]:
    offsets = {}
    for key, name in (("start", "from"), ("end", "to")):
        value = _attribute(node, name, draft)
        if re.fullmatch("[0-9]{1,9}", value):
            offsets[key] = int(value)
        elif value:
            draft.wrong.append((node.line, f"<{node.tag}>: {name}={value!r} is no number of characters"))
    return offsets


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _attributes(**values: object) -> str:
    return "".join(f' {name}="{_quoted(str(value))}"' for name, value in values.items())


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


_HOLDS = {"id", "conflict", "empty", "repeats", "overlaps", "order"}
TERMS_2014 = Format(
    about="XML of SemEval 2014 Task 4, aspect terms",
    suffix=".xml",
    read=read_2014_terms,
    write=write_2014_terms,
    holds=frozenset(_HOLDS | {"target", "span"}),
    needs=frozenset({"target"}),
    tasks=("tsa",),
    forbidden=NOT_XML,
)
CATEGORIES_2014 = Format(
    about="XML of SemEval 2014 Task 4, aspect categories",
    suffix=".xml",
    read=read_2014_categories,
    write=write_2014_categories,
    holds=frozenset(_HOLDS | {"category", "span"}),
    needs=frozenset({"category"}),
    tasks=("asa",),
    forbidden=NOT_XML,
)
OPINIONS_2016 = Format(
    about="XML of SemEval 2015 Task 12 and 2016 Task 5: targets with categories",
    suffix=".xml",
    read=read_2016,
    write=write_2016,
    holds=frozenset(_HOLDS | {"target", "category", "span"}),
    tasks=("tsa", "asa"),
    forbidden=NOT_XML,
)
