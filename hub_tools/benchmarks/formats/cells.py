"""CSV files as rows with the lines on which they begin."""

import csv
import io
import sys
from collections.abc import Iterator, Sequence

from hub_tools.benchmarks.formats.problems import Problems


def csv_rows(
    text: str, separator: str, wanted: Sequence[str], problems: Problems
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, column → cell) of a file with a header. Rows with too many or too few cells are problems.

    Raises:
        FormatError: a wanted column is missing, or quotes are never closed.
    """
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        missing = [name for name in wanted if name not in header]
        if missing:
            raise problems.fatal(1, f"has no column {missing[0]!r}; found: {', '.join(header)!r}")
        line = reader.line_num + 1
        for cells in reader:
            blank = not any(cells)
            if not blank and len(cells) != len(header):
                hint = "a cell that holds the separator or a line break must be in quotes"
                problems.add(line, f"{len(cells)} cells, the header has {len(header)}; {hint}")
            elif not blank:
                yield line, dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise problems.fatal(reader.line_num, f"not readable as CSV ({error})") from error
