"""Prints one row, or the rows whose key begins with some values.

    example.py LDB FAMILY TABLE KEY...
    example.py --list LDB FAMILY TABLE [KEY...]

Each KEY is a value of the key, as text, or as an integer where the table says so.
"""

import sys

import ctlstore


def main(arguments: list[str]) -> int:
    listing = arguments[:1] == ["--list"]
    if listing:
        del arguments[0]
    if len(arguments) < (3 if listing else 4):
        print(__doc__, file=sys.stderr)
        return 1
    path, family, table, *words = arguments
    with ctlstore.Reader(path) as reader:
        definition = reader.table(family, table)
        types = {field.name: field.type for field in definition.fields}
        key = [
            int(word) if types.get(name) == "integer" else word
            for word, name in zip(words, list(definition.key) + [""] * len(words))
        ]
        if listing:
            for row in reader.list(family, table, *key):
                print(row)
            return 0
        row = reader.get(family, table, *key)
        if row is None:
            print("There is no such row.", file=sys.stderr)
            return 2
        print(row)
        return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ctlstore.Error as error:
        sys.exit(f"{type(error).__name__}: {error}")
