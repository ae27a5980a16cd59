/**
 * Settings of `penstock engine` from where they are not typed: the environment, then a YAML file.
 *
 *   --log-level debug   before   PENSTOCK_LOG_LEVEL=debug   before   log-level: debug
 *
 * All three have the same names, values and limits: those of the command's options, which check
 * them. Errors name the setting, what was found and what was expected, of a file with its line.
 */

import { type FileHandle, open } from "node:fs/promises";
import { type Command, InvalidArgumentError, type Option } from "commander";
import type { LineCounter, Pair } from "yaml";
import { parseEngineAddress } from "../api/engine-address.ts";
import { suggestName } from "../pipe/nearest-name.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { settingOf, variableOf } from "./engine-options.ts";

const FILE_BYTES_MAX = 64 * 1024;
const VALUES_MAX = 64;
const SHOWN_LENGTH_MAX = 64;

/** Gives `command`'s options their values. @throws PenstockError `setting-invalid` */
export async function applySettings(
  command: Command,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<void> {
  for (const option of command.options) {
    const text = environment[variableOf(option)];
    if (text === undefined || text === "") continue;
    const value = option.variadic ? text.split(",").map((each) => each.trim()) : text;
    apply(command, option, { value, source: "env", where: variableOf(option) });
  }
  const { config } = command.opts<{ config?: string }>();
  if (config !== undefined) await applyFile(command, config);
}

async function applyFile(command: Command, path: string): Promise<void> {
  const text = await readSettings(path);
  const { isMap, isScalar, LineCounter, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw invalid(`${path}:${line}:${col}`, error.message);
  }
  if (document.contents === null) return;
  if (!isMap(document.contents)) throw invalid(path, "expected lines of the form `setting: value`");
  const byName = new Map(command.options.map((option) => [settingOf(option), option]));
  byName.delete("config");
  for (const pair of document.contents.items) {
    const name = isScalar(pair.key) ? String(pair.key.value) : "?";
    const where = `${path}:${lineOf(pair, lines)}: ${name}`;
    const option = byName.get(name);
    if (option === undefined) {
      const known = [...byName.keys()].join(", ");
      const hint = suggestName(name, byName.keys());
      throw invalid(where, `there is no such setting${hint}, expected one of ${known}`);
    }
    const value: unknown = document.get(pair.key);
    const plain = isCollection(value) ? value.toJSON() : value;
    apply(command, option, { value: plain, source: "config", where });
  }
}

interface Setting {
  readonly value: unknown;
  readonly source: "env" | "config";
  /** For messages. */
  readonly where: string;
}

function apply(command: Command, option: Option, { value, source, where }: Setting): void {
  const key = option.attributeName();
  const before = command.getOptionValueSource(key);
  const parsed = readValue(option, value, where);
  // What was typed goes before; it is checked all the same, or it would be wrong the next time.
  if (before === "cli" || (before === "env" && source === "config")) return;
  command.setOptionValueWithSource(key, parsed, source);
}

function readValue(option: Option, value: unknown, where: string): unknown {
  if (option.variadic) return addressesOf(value, where);
  if (option.isBoolean() || option.negate) return switchOf(value, where);
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string" || text === "") {
    throw invalid(where, `found ${shown(value)}, expected a value`);
  }
  if (option.parseArg === undefined) return text;
  try {
    return option.parseArg(text, undefined);
  } catch (thrown) {
    if (!(thrown instanceof InvalidArgumentError)) throw thrown;
    throw invalid(where, `found ${shown(value)}. ${thrown.message}`);
  }
}

function listOf(value: unknown, where: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isText = (each: unknown): each is string => typeof each === "string" && each !== "";
  if (list.length > 0 && list.length <= VALUES_MAX && list.every(isText)) return list;
  throw invalid(where, `found ${shown(value)}, expected 1 to ${VALUES_MAX} words`);
}

/** Options that may be given several times are addresses. */
function addressesOf(value: unknown, where: string): readonly string[] {
  const list = listOf(value, where);
  for (const each of list) {
    try {
      parseEngineAddress(each);
    } catch (thrown) {
      throw invalid(where, toPenstockError(thrown).message);
    }
  }
  return list;
}

function switchOf(value: unknown, where: string): boolean {
  if (value === true || value === "true" || value === "1") return true;
  if (value === false || value === "false" || value === "0") return false;
  throw invalid(where, `found ${shown(value)}, expected true or false`);
}

async function readSettings(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      return await readAll(file, path);
    } finally {
      await file.close();
    }
  } catch (thrown) {
    if (thrown instanceof PenstockError) throw thrown;
    throw invalid(path, `cannot be read: ${toPenstockError(thrown).message}`);
  }
}

/** Of something without an end no more than the most that it may have. */
async function readAll(file: FileHandle, path: string): Promise<string> {
  const { size } = await file.stat();
  if (size > FILE_BYTES_MAX) {
    throw invalid(path, `found ${size} bytes, expected at most ${FILE_BYTES_MAX}`);
  }
  const buffer = Buffer.alloc(FILE_BYTES_MAX + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) return buffer.toString("utf8", 0, length);
    length += bytesRead;
  }
  throw invalid(path, `found more than ${FILE_BYTES_MAX} bytes`);
}

function isCollection(value: unknown): value is { toJSON(): unknown } {
  return typeof value === "object" && value !== null && "toJSON" in value;
}

function lineOf({ key }: Pair, lines: LineCounter): number {
  const range = (key as { range?: readonly number[] } | null)?.range;
  return lines.linePos(range?.[0] ?? 0).line;
}

function shown(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}...` : text;
}

function invalid(where: string, message: string): PenstockError {
  return new PenstockError({ code: "setting-invalid", message: `${where}: ${message}` });
}
