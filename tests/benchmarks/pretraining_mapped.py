"""Pairs of token ids as pretraining reads them, through a memory map, for scripts that have no texts to tokenise."""

import json
from collections.abc import Sequence
from pathlib import Path


Pairs = Sequence[tuple[list[int], list[int]]]


def mapped(pairs: Pairs, folder: Path) -> tuple[Pairs, str]:
    """The same pairs from an Arrow file in `folder`, and from where; as they are without pyarrow (of `datasets`)."""
    try:
        import pyarrow as arrow

        from hub_tools.students.encoded import CHUNK, FORMAT, HEADER, EncodedPairs
    except ImportError as error:
        return pairs, f"from lists ({error.name} is not installed)"
    ids = arrow.list_(arrow.uint16())
    schema = arrow.schema({"review": arrow.uint64(), "source": ids, "target": ids})
    with arrow.OSFile(str(folder / "pairs.arrow"), "wb") as file, arrow.ipc.new_file(file, schema) as writer:
        for start in range(0, len(pairs), CHUNK):
            part = pairs[start : start + CHUNK]
            sources, targets = ([row[side] for row in part] for side in (0, 1))
            columns = {"review": list(range(start, start + len(part))), "source": sources, "target": targets}
            writer.write_batch(arrow.RecordBatch.from_pydict(columns, schema=schema))
    header = {"format": FORMAT, "file": "pairs.arrow", "pairs": len(pairs), "cost": {}, "chunk": CHUNK, "chunks": []}
    (folder / HEADER).write_text(json.dumps(header), encoding="utf-8")
    return EncodedPairs.open(folder), "from a memory-mapped Arrow file"
