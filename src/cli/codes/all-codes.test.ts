// Every code that the source knows has an entry, and every entry is a code that the source knows.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { STATUS_TRAITS } from "../../block/status.ts";
import { allCodes, CODE_GROUPS, helpOfCode } from "./all-codes.ts";

const SOURCE = join(import.meta.dirname, "../..");
/** Not what users meet: tests' own, the fake world's, and the catalogue itself. */
const LEFT_OUT = /(\.test\.ts|_pb\.ts)$|^(testing|sim)\/|\/(fake|conformance|codes)\//;
/** Why a target ends a handshake: said to the client by the protocol only. */
const INTERNAL_TYPES = ["HandshakeCloseCode"];
const KEBAB = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*";

/** Codes of the parts that are made from names by rule. */
const COMMANDER_CODES = [
  "missing-argument",
  "option-missing-argument",
  "missing-mandatory-option-value",
  "conflicting-option",
  "unknown-option",
  "excess-arguments",
  "unknown-command",
  "invalid-argument",
];

function sources(): { readonly path: string; readonly text: string }[] {
  return globSync("**/*.ts", { cwd: SOURCE })
    .filter((path) => !LEFT_OUT.test(path))
    .map((path) => ({ path, text: readFileSync(join(SOURCE, path), "utf8") }));
}

/** The codes that stand in `text`, in each of the ways in which codes are given. */
function codesIn(text: string, others: readonly CodeTaker[] = []): string[] {
  const found: string[] = [];
  const collect = (pattern: RegExp): void => {
    for (const [all] of text.matchAll(pattern)) {
      for (const [, code = ""] of all.matchAll(new RegExp(`(?<!\\[)"(?!system-)(${KEBAB})"`, "g")))
        found.push(code);
    }
  };
  // code: "x", code = "x", code: is ? "x" : "y", code: codes[z] ?? "x"
  collect(
    new RegExp(
      "\\bcode(?!: unknown)\\??(?::|\\s*=(?!=))[^,;{}()]*?" +
        `(?<!\\[)"${KEBAB}"(?:\\s*:\\s*"${KEBAB}")?`,
      "g",
    ),
  );
  // [Errno.EACCES]: "x"
  collect(new RegExp(`^ +(?:\\[\\w+(?:\\.\\w+)?\\]|"system-\\w+"): "${KEBAB}",$`, "gm"));
  // type InitiatorFailure = | "x" | "y"
  for (const [, name = "", union = ""] of text.matchAll(
    /^ *export type (\w+(?:Failure|Code)) =((?:\s*\|? "[a-z-]+")+);/gm,
  )) {
    if (INTERNAL_TYPES.includes(name)) continue;
    for (const [, code = ""] of union.matchAll(/"([a-z-]+)"/g)) found.push(code);
  }
  for (const { name, index } of [...functionsTakingCodes(text), ...others]) {
    const call = new RegExp(`(?<![\\w.]|function )(?:this\\.|\\w+\\.)?${name}\\(`, "g");
    for (const { index: at, 0: head } of text.matchAll(call)) {
      const argument = argumentsAt(text, at + head.length)[index] ?? "";
      const code = new RegExp(`^"(${KEBAB})"$`).exec(argument.trim())?.[1];
      const either = new RegExp(`\\? "(${KEBAB})" : "(${KEBAB})"$`).exec(argument.trim());
      found.push(...(code === undefined ? (either?.slice(1) ?? []) : [code]));
    }
  }
  return found;
}

/** A function with a parameter for a code. */
interface CodeTaker {
  readonly name: string;
  /** Of the parameter. */
  readonly index: number;
}

/** Functions and methods with a parameter `code`, and which one it is. */
function functionsTakingCodes(text: string): CodeTaker[] {
  const declared = text.matchAll(/(?<=^|\s)(#?\w+)\(([^()]*\bcode\b[:= ][^()]*)\)[^;{]*\{/g);
  return [...declared].flatMap(([, name = "", parameters = ""]) => {
    const list = parameters.split(",");
    const index = list.findIndex((each) => /^\s*code\b/.test(each));
    const isInternal = INTERNAL_TYPES.some((type) => list[index]?.includes(type));
    return isInternal ? [] : [{ name, index }];
  });
}

/** The arguments of a call, from just after its parenthesis. */
function argumentsAt(text: string, start: number): string[] {
  const found = [""];
  let depth = 0;
  for (const character of text.slice(start, start + 2000)) {
    if ("([{".includes(character)) depth++;
    if (")]}".includes(character)) depth--;
    if (depth < 0) break;
    if (character === "," && depth === 0) found.push("");
    else found[found.length - 1] += character;
  }
  return found;
}

function codesOfSource(): Map<string, string> {
  const places = new Map<string, string>();
  const all = [...sources()];
  const exported = all.flatMap(({ text }) =>
    functionsTakingCodes(text).filter(({ name }) => text.includes(`export function ${name}(`)),
  );
  for (const { path, text } of all) {
    const imported = exported.filter(({ name }) =>
      new RegExp(`import [^;]*\\b${name}\\b[^;]* from`).test(text),
    );
    for (const code of codesIn(text, imported)) if (!places.has(code)) places.set(code, path);
  }
  for (const { name } of STATUS_TRAITS) if (name !== "ok") places.set(name, "block/status.ts");
  for (const code of COMMANDER_CODES) places.set(code, "cli/report-error.ts");
  for (const name of Object.values(Code).filter((each) => typeof each === "string")) {
    const code = name.replace(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
    places.set(code, "api/rpc-failure.ts");
  }
  return places;
}

test("codesIn finds codes however they are given", () => {
  const text = `
    throw new PenstockError({ code: "a-b", message: "not-this" });
    fail(message: string, code = "c-d", isFinal = false): void {}
    const error = { code: isDenied ? "e-f" : "g-h", message };
    const other = { code: codes[found] ?? "i-j", message: "x" };
      [Errno.EACCES]: "k-l",
      "system-eperm": "m-n",
    export type ThingFailure =
      | "o-p"
      | "q-r";
    this.#say(entry, "info", "s-t", \`u\`);
    #say(entry: PipeEntry, level: "info" | "error", code: string, message: string): void {}
    connection.fail(outer(1, 2), "v-w");`;
  deepStrictEqual(codesIn(text).sort(), [
    "a-b",
    "c-d",
    "e-f",
    "g-h",
    "i-j",
    "k-l",
    "m-n",
    "o-p",
    "q-r",
    "s-t",
    "v-w",
  ]);
});

test("allCodes has every code of the source", () => {
  const missing = [...codesOfSource()].filter(([code]) => helpOfCode(code) === undefined);
  deepStrictEqual(missing, [], "add them to src/cli/codes/");
});

test("allCodes has no code that nothing says", () => {
  const known = codesOfSource();
  const gone = allCodes().filter((code) => !known.has(code));
  deepStrictEqual(gone, [], "remove them from src/cli/codes/");
});

test("CODE_GROUPS says three whole sentences of each code, once", () => {
  strictEqual(new Set(allCodes()).size, allCodes().length);
  for (const [code, help] of CODE_GROUPS.flatMap(({ codes }) => Object.entries(codes))) {
    match(code, new RegExp(`^${KEBAB}$`));
    for (const text of [help.means, help.causes, help.todo]) {
      match(text, /^\S.*\S$/s, code);
      match(text, /[.)]$/, `${code}: ${text}`);
      ok(text.length <= 130, `${code}: ${text}`);
    }
  }
});

test("helpOfCode explains the operating system's codes, and no others", () => {
  match(helpOfCode("system-enospc")?.means ?? "", /ENOSPC: no space left/);
  strictEqual(helpOfCode("system-enonsense"), undefined);
  strictEqual(helpOfCode("constructor"), undefined);
  strictEqual(helpOfCode(""), undefined);
});
