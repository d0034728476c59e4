"""Writes data/nfc_pairs.cpp and data/nfc_singletons.cpp from the Unicode data of Python.

Usage: make_nfc_tables.py FOLDER, where FOLDER is data/ of this project.
"""

import sys
import unicodedata

HEADER = """#include "data/nfc.h"

// Unicode {version}, written by tests/data/make_nfc_tables.py.
// clang-format off
namespace trireme::data {{
"""
FOOTER = "}  // namespace trireme::data\n"


def rows(entries):
    line = ""
    for entry in entries:
        text = "{" + ",".join(entry) + "},"
        if len(line) + len(text) > 98:
            yield "  " + line
            line = ""
        line += text
    yield "  " + line


def table(kind, name, entries):
    body = "\n".join(rows(entries))
    return (
        f"namespace {{\n\nconstexpr {kind} k{name}[] = {{\n{body}\n}};\n\n}}  // namespace\n\n"
    )


def accessor(kind, function, name):
    return f"std::span<const {kind}> {function}() {{ return k{name}; }}\n\n"


def point(value):
    return f"0x{value:x}"


pairs, singletons, classes = [], [], []
for code in range(sys.maxunicode + 1):
    character = chr(code)
    mapping = unicodedata.decomposition(character)
    if mapping and not mapping.startswith("<"):
        parts = [int(part, 16) for part in mapping.split()]
        if len(parts) == 1:
            singletons.append((point(code), point(parts[0])))
        else:
            composes = unicodedata.normalize("NFC", character) == character
            pairs.append((point(code), point(parts[0]), point(parts[1]), str(int(composes))))
    combining = unicodedata.combining(character)
    if combining:
        if classes and classes[-1][1] == code - 1 and classes[-1][2] == combining:
            classes[-1][1] = code
        else:
            classes.append([code, code, combining])
classes = [(point(first), point(last), str(value)) for first, last, value in classes]

header = HEADER.format(version=unicodedata.unidata_version)
with open(f"{sys.argv[1]}/nfc_pairs.cpp", "w") as file:
    file.write(header)
    file.write(table("ComposedPair", "Pairs", pairs))
    file.write(table("CombiningClass", "Classes", classes))
    file.write(accessor("ComposedPair", "composed_pairs", "Pairs"))
    file.write(accessor("CombiningClass", "combining_classes", "Classes"))
    file.write(FOOTER)
with open(f"{sys.argv[1]}/nfc_singletons.cpp", "w") as file:
    file.write(header)
    file.write(table("Singleton", "Singletons", singletons))
    file.write(accessor("Singleton", "singletons", "Singletons"))
    file.write(FOOTER)
