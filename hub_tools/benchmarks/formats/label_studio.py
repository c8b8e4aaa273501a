"""Label Studio's JSON: sentences as tasks, opinions as annotations, for the labelling configuration `CONFIG`.

A region is an opinion on its words: its label is the polarity, and categories, opinion words and "implicit" are noted
with it (`perRegion`). An opinion without a target is a line "CATEGORY | polarity | opinion words" in the field
`untargeted` ("none" for implicit opinion words; the last part may be missing; a JSON list where a part holds "|").

Exports of other configurations are read as far as they say the same: a region labelled "target" (or anything else)
with its polarity among its choices; a choice on the whole text, whose field is the category and whose value the
polarity. Of a task with several annotations the first that was not cancelled counts; predictions count where there
are no annotations.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hub_tools.benchmarks.formats.fitting import HOLDABLE, Format
from hub_tools.benchmarks.formats.problems import Problems, decoded, parsed_json
from hub_tools.benchmarks.formats.rows import FLAGS, Draft, opinion
from hub_tools.benchmarks.records import Row
from hub_tools.opinions import POLARITIES


CONFIG = """<View>
  <Style>.htx-text { white-space: pre-wrap; }</Style>
  <Labels name="polarity" toName="text">
    <Label value="positive" background="#4caf50"/>
    <Label value="neutral" background="#9e9e9e"/>
    <Label value="negative" background="#f44336"/>
    <Label value="conflict" background="#ff9800"/>
  </Labels>
  <Text name="text" value="$sentence"/>
  <TextArea name="category" toName="text" perRegion="true" maxSubmissions="1" placeholder="category, as FOOD#QUALITY"/>
  <TextArea name="opinion" toName="text" perRegion="true" placeholder="opinion words, as in the sentence"/>
  <Choices name="expressed" toName="text" perRegion="true" choice="single">
    <Choice value="implicit"/>
  </Choices>
  <TextArea name="untargeted" toName="text" placeholder="no target: CATEGORY | polarity | opinion words"/>
</View>
"""
IMPLICIT = "none"


def read(data: bytes, problems: Problems, task: str) -> list[Draft]:
    """Tasks as the export format "JSON" has them."""
    tasks = parsed_json(decoded(data, problems), problems)
    if not isinstance(tasks, list):
        raise problems.fatal(None, f"expected a JSON array of tasks, found {type(tasks).__name__}")
    drafts = []
    for index, one in enumerate(tasks):
        place = f"task {index}"
        content = one.get("data") if isinstance(one, dict) else None
        sentence = (content.get("sentence") or content.get("text")) if isinstance(content, dict) else None
        if not isinstance(sentence, str):
            problems.add(place, f"expected an object with data.sentence (or data.text), found {one!r:.80}")
            continue
        place = f"task {index} (id {content.get('id', one.get('id'))!r})"
        results = _results(one, problems)
        if results is None:
            problems.add(place, "nobody annotated it: it has neither annotations nor predictions")
            continue
        flags = {name: content[name] for name in FLAGS if name in content and isinstance(content[name], bool | None)}
        id_ = content.get("id", one.get("id"))
        draft = Draft(place, id_ if id_ is None else str(id_), sentence, flags=flags)
        _add_opinions(draft, results, problems)
        drafts.append(draft)
    return drafts


def write(rows: Sequence[Row], task: str) -> str:
    """Tasks with one annotation each; import them into a project that has the labelling configuration `CONFIG`."""
    tasks = []
    for row in rows:
        data = {name: row[name] for name in ("id", "sentence", *FLAGS)}
        named = [item for item in row["opinions"] if item["target"] is not None]
        result = [part for number, item in enumerate(named) for part in _region(item, f"opinion-{number}")]
        loose = [_line(item) for item in row["opinions"] if item["target"] is None]
        if loose:
            result.append(_part("untargeted", "untargeted", "textarea", {"text": loose}))
        tasks.append({"data": data, "annotations": [{"result": result, "ground_truth": True}]})
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _results(task: Mapping[str, Any], problems: Problems) -> list[Any] | None:
    """What the annotators said of a task, or None."""
    annotations = task.get("annotations") or task.get("completions")
    valid = [one for one in _list(annotations) if isinstance(one, dict) and not one.get("was_cancelled")]
    if len(valid) > 1:
        problems.notes["tasks have several annotations, of which the first was read"] += 1
    if not valid:
        valid = [one for one in _list(task.get("predictions")) if isinstance(one, dict)]
        problems.notes["tasks have predictions only, which were read"] += bool(valid)
    return _list(valid[0].get("result")) if valid else None


def _add_opinions(draft: Draft, results: list[Any], problems: Problems) -> None:
    """The opinions of one annotation: regions in the order in which they were made, then those without one."""
    regions: dict[str, list[dict[str, Any]]] = {}
    loose: list[Any] = []
    for part in results:
        if not isinstance(part, dict) or not isinstance(part.get("value"), dict):
            continue  # a relation between regions
        value = part["value"]
        if "start" in value:
            regions.setdefault(str(part.get("id")), []).append(part)
        elif part.get("from_name") == "untargeted":
            loose += _list(value.get("text"))
        elif "choices" in value:
            draft.opinions += [
                opinion(category=part.get("from_name"), polarity=choice) for choice in _list(value["choices"])
            ]
    for parts in regions.values():
        _add_region(draft, parts, problems)
    for line in loose:
        _add_line(draft, line)


def _add_region(draft: Draft, parts: list[dict[str, Any]], problems: Problems) -> None:
    """The opinion that the parts of one region make."""
    value = next((part["value"] for part in parts if "labels" in part["value"]), parts[0]["value"])
    start, end, target = value["start"], value.get("end"), value.get("text")
    if not type(start) is type(end) is int or not isinstance(target, str | None):
        draft.wrong.append((draft.place, f"a region should have start, end and text, found {value!r:.100}"))
        return
    target = draft.sentence[start:end] if target is None else target
    if draft.sentence[start:end] != target:
        start, end = _characters(draft.sentence, start, end, target, problems)
    marks = [mark for part in parts for key in ("labels", "choices") for mark in _list(part["value"].get(key))]
    polarity = next((mark for mark in marks if str(mark).lower() in POLARITIES), None)
    if polarity is None:
        draft.wrong.append(
            (draft.place, f"the region {target!r} has no polarity; it says: {', '.join(map(str, marks))}")
        )
        return
    category = _noted(parts, "category")
    words = _noted(parts, "opinion") or ([] if "implicit" in marks else None)
    item = opinion(target, start, end, category=category[0] if category else None, polarity=polarity, words=words)
    draft.opinions.append(item)


def _characters(sentence: str, start: int, end: int, target: str, problems: Problems) -> tuple[int, int]:
    """Offsets in characters, where they count UTF-16 units: some versions count an emoji twice."""
    units = sentence.encode("utf-16-le", "surrogatepass")
    if units[2 * start : 2 * end] == target.encode("utf-16-le", "surrogatepass"):
        problems.notes["offsets counted UTF-16 units and now count characters"] += 1
        start = len(units[: 2 * start].decode("utf-16-le", "replace"))
        return start, start + len(target)
    return start, end


def _noted(parts: list[dict[str, Any]], name: str) -> list[Any]:
    """What the field `name` of a region says: a text area's lines, or its choices."""
    values = [part["value"] for part in parts if part.get("from_name") == name]
    return [text for value in values for text in _list(value.get("choices") or value.get("text"))]


def _add_line(draft: Draft, line: Any) -> None:
    """An opinion without a target, as `_line` writes it."""
    words: Any = None
    if isinstance(line, str) and line.startswith("["):
        try:
            category, polarity, words = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            category = polarity = None
    else:
        category, _, rest = str(line).partition("|")
        polarity, bar, said = rest.partition("|")
        category, said = category.strip() or None, said.strip()
        words = None if not bar else [] if said == IMPLICIT else [said]
    if not isinstance(polarity, str) or not isinstance(words, list | None):
        expected = "CATEGORY | polarity | opinion words"
        draft.wrong.append((draft.place, f"untargeted: expected {expected!r}, found {line!r:.80}"))
    else:
        draft.opinions.append(opinion(category=category, polarity=polarity, words=words))


def _region(item: Row, region: str) -> list[dict[str, Any]]:
    """The parts of an opinion on words of the sentence."""
    place = {"start": item["start"], "end": item["end"]}
    parts = [_part(region, "polarity", "labels", place | {"text": item["target"], "labels": [item["polarity"]]})]
    if item["category"] is not None:
        parts.append(_part(region, "category", "textarea", place | {"text": [item["category"]]}))
    if item["opinion_words"]:
        parts.append(_part(region, "opinion", "textarea", place | {"text": item["opinion_words"]}))
    elif item["opinion_words"] is not None:
        parts.append(_part(region, "expressed", "choices", place | {"choices": ["implicit"]}))
    return parts


def _line(item: Row) -> str:
    """An opinion without a target as a line of the field `untargeted`."""
    words = item["opinion_words"]
    parts = [item["category"], item["polarity"], *([] if words is None else words or [IMPLICIT])]
    plain = all(part == part.strip() and "|" not in part for part in parts) and len(parts) <= 3
    if plain and not parts[0].startswith("[") and words != [IMPLICIT]:
        return " | ".join(parts)
    return json.dumps([item["category"], item["polarity"], words], ensure_ascii=False)


def _part(region: str, name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": region, "from_name": name, "to_name": "text", "type": kind, "value": value}


def _list(value: Any) -> list[Any]:
    """A list as it is, one text as a list of it, anything else as none."""
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


TASKS = Format(
    about="Label Studio's JSON for the labelling configuration that --labelling_config shows",
    suffix=".json",
    read=read,
    write=write,
    holds=frozenset(HOLDABLE) - {"order"},
    forbidden="(?!)",
)
