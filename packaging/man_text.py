#!/usr/bin/env python3
"""Markdown in, Markdown that lowdown makes a good man page of out: tables wider than a terminal become lists, and blocks
of code stand alone, without which they would be filled as text.

Of a row the first cell is the term; of the others each is said with its column's heading, but for the only or the last one.
"""
import re
import sys

WIDTH = 72


def cells(line):
    inner = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip().replace("\\|", "|") for cell in inner]


def text(table):
    head, _, *rows = [cells(line) for line in table]
    widths = [max(len(row[column]) if column < len(row) else 0 for row in [head, *rows]) for column in range(len(head))]
    if sum(widths) + 2 * len(widths) <= WIDTH:
        return "".join(table)
    out = []
    for term, *rest in rows:
        said = [f"*{name}*: {cell}" if name and number < len(rest) - 1 else cell
                for number, (name, cell) in enumerate(zip(head[1:], rest)) if cell not in ("", "–", "{}")]
        out.append(f"{term or head[0]}\n\n: {'; '.join(said) or '–'}\n")
    return "\n".join(out) + "\n"


def main():
    table, fenced = [], False
    for line in [*sys.stdin, ""]:
        if line.startswith("```"):
            fenced = not fenced
            sys.stdout.write("\n" + line if fenced else line + "\n")
            continue
        if line.startswith("|") and not fenced:
            table.append(line)
            continue
        if table:
            sys.stdout.write(text(table) if len(table) > 2 else "".join(table))
            table = []
        sys.stdout.write(line)


main()
