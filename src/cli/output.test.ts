// Tests of tables, JSON and YAML as list commands print them.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { type Column, formatTable, formatValue } from "./output.ts";

interface Row {
  readonly name: string;
  readonly size: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "NAME", text: ({ name }) => name },
  { title: "SIZE", align: "right", text: ({ size }) => String(size) },
  { title: "NOTE", text: ({ name }) => (name === "a" ? "has a note" : "") },
];

test("a table has a head, columns as wide as their widest cell, and no empty cells", () => {
  const rows = [
    { name: "a", size: 1 },
    { name: "long-name", size: 12_345 },
  ];
  strictEqual(
    formatTable(rows, COLUMNS),
    ["NAME        SIZE  NOTE", "a              1  has a note", "long-name  12345  -", ""].join(
      "\n",
    ),
  );
  strictEqual(formatTable([], COLUMNS), "NAME  SIZE  NOTE\n");
});

test("a cell stays on its line whatever it holds", () => {
  const [, line] = formatTable([{ name: "a\nb\u2028c\u001b[31m", size: 1 }], COLUMNS).split("\n");
  strictEqual(line, "a b c [31m     1  -");
});

test("a value is printed as JSON and as YAML", () => {
  const value = [{ name: "a", size: 1, none: null, text: `x: ${"y".repeat(200)} | z` }];
  strictEqual(formatValue(value, "json"), `${JSON.stringify(value, null, 2)}\n`);
  const text = `"x: ${"y".repeat(200)} | z"`;
  strictEqual(formatValue(value, "yaml"), `- name: a\n  size: 1\n  none: null\n  text: ${text}\n`);
});
