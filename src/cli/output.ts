/**
 * What list commands print: a table for people, JSON or YAML for programs. Pure.
 *
 * JSON and YAML are our own schema, not that of the RPC: sizes are numbers of bytes, times are
 * RFC 3339 in UTC, what is not there is null.
 */

import { createRequire } from "node:module";
import { inOneLine } from "./in-one-line.ts";

/** Loads what prints when it has to print: both together take longer than most commands. */
const load = createRequire(import.meta.url);

export type OutputFormat = "table" | "json" | "yaml";

export interface Column<T> {
  readonly title: string;
  readonly align?: "right";
  text(row: T): string;
}

/** `value` as asked for, with its line's end. */
export function formatValue(value: unknown, format: "json" | "yaml"): string {
  if (format === "json") return `${JSON.stringify(value, null, 2)}\n`;
  const { stringify } = load("yaml") as typeof import("yaml");
  return stringify(value, YAML);
}

/** Columns with a head, two spaces between them; nothing but the head when there are no rows. */
export function formatTable<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const { Table } = load("console-table-printer") as typeof import("console-table-printer");
  const table = new Table({
    style: { ...NO_LINES, vertical: "" },
    shouldDisableColors: true,
    columns: columns.map(({ title, align = "left" }) => ({ name: title, alignment: align })),
  });
  for (const row of rows) {
    table.addRow(Object.fromEntries(columns.map(({ title, text }) => [title, cell(text(row))])));
  }
  const lines = table.render().split("\n");
  const shown = lines.map((line) => line.trim()).filter((line) => line !== "");
  return shown.map((line) => `${line}\n`).join("");
}

const YAML = { lineWidth: 0 } as const;

const NO_LINE = { left: "", right: "", mid: "", other: "" } as const;
const NO_LINES = {
  headerTop: NO_LINE,
  headerBottom: NO_LINE,
  tableBottom: NO_LINE,
  rowSeparator: NO_LINE,
} as const;

function cell(text: string): string {
  const shown = inOneLine(text);
  return shown === "" ? "-" : shown;
}
