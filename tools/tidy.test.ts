// Tests of the tidy rules: each catches its small bad samples, leaves good ones alone, and the
// whole tree is free of findings.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { LONG_RUN } from "../src/testing/long-run.ts";
import { formatFinding, ROOT, readTree } from "./source-tree.ts";
import { SourceText } from "./source-text.ts";
import { checkTree, longFiles } from "./tidy.ts";
import { TIDY_EXCEPTIONS, type TidyException } from "./tidy-exceptions.ts";

const OPENING = "// A sample.\n";

function rulesBroken(text: string, path = "src/util/sample.ts"): string[] {
  const findings = checkTree([new SourceText(path, text)], []);
  return [...new Set(findings.map(({ rule }) => rule))];
}

const functionOf = (lines: number, head = "export function long(): void {"): string =>
  `${head}\n${"  step();\n".repeat(lines - 2)}}\n`;

const BAD_SAMPLES: readonly (readonly [rule: string, text: string, path?: string])[] = [
  ["file-length", "step();\n".repeat(600)],
  ["line-length", `const text = "${"x".repeat(100)}";\n`],
  ["function-length", functionOf(71)],
  ["function-length", functionOf(71, "export const long = async (a: number): Promise<void> => {")],
  ["function-length", functionOf(71, "export const long = each => {")],
  ["function-length", functionOf(71, "export function long(a: { b: 1 }): { c: 1 } | undefined {")],
  ["function-length", `class A {\n${functionOf(71, "  async #go<T>(a: T): Promise<T> {")}}\n`],
  [
    "function-length",
    functionOf(71, 'test("x", () => {').replace(/\}\n$/, "});\n"),
    "src/util/sample.test.ts",
  ],
  ["ffi", 'import { dlopen } from "node:ffi";\n'],
  ["ffi", 'const ffi = process.getBuiltinModule("node:ffi");\n', "src/reactor/sample.ts"],
  ["clock-and-randomness", "const now = Date.now();\n", "src/proto/nbd/sample.ts"],
  ["clock-and-randomness", "const now = performance.now();\n", "src/pool/sample.ts"],
  ["clock-and-randomness", "const at = new Date();\n", "src/nexus/sample.ts"],
  ["clock-and-randomness", "const at = new Date;\n", "src/nexus/sample.ts"],
  ["clock-and-randomness", "const dice = Math.random();\n", "src/block/sample.ts"],
  ["clock-and-randomness", "const ns = process.hrtime.bigint();\n", "src/pipe/sample.ts"],
  ["clock-and-randomness", "setTimeout(retry, 100);\n", "src/devices/sample.ts"],
  ["clock-and-randomness", "const id = crypto.randomUUID();\n", "src/devices/sample.ts"],
  ["clock-and-randomness", 'import { setTimeout } from "node:timers/promises";\n', "src/pool/a.ts"],
  ["clock-and-randomness", 'import * as perf from "node:perf_hooks";\n', "src/pool/a.ts"],
  ["erasable", "export enum Op { read }\n"],
  ["erasable", "export const enum Op { read }\n"],
  ["erasable", "namespace Inner { export const a = 1; }\n"],
  ["erasable", "class A { constructor(readonly a: number) {} }\n"],
  ["any", "const a: any = 1;\n"],
  ["any", "const a = b as any;\n"],
  ["any", "const a: Map<string, any> = new Map();\n"],
  ["any", "function f(a: any[], b: string): void {}\n"],
  ["any", "type A = string | any;\n"],
  ["default-export", "export default function f(): void {}\n"],
  ["default-export", "export { f as default };\n"],
  ["open-work", "// FIXME: it leaks\n"],
  ["open-work", "/* TODO later */\n"],
  ["file-name", "step();\n", "src/util/sampleText.ts"],
  ["file-name", "step();\n", "src/util/sample_text.ts"],
  ["empty-catch", "try { step(); } catch {}\n"],
  ["empty-catch", "try { step(); } catch (error) {\n}\n"],
  ["empty-catch", "void step().catch(() => {});\n"],
  ["focused-test", 'test.only("x", step);\n', "src/util/sample.test.ts"],
  ["focused-test", 'test("x", { only: true }, step);\n', "src/util/sample.test.ts"],
  ["layers", 'import { a } from "../pipe/a.ts";\n'],
];

test("each rule catches its sample when fed a bad one", () => {
  for (const [rule, text, path] of BAD_SAMPLES) {
    deepStrictEqual(rulesBroken(OPENING + text, path), [rule], `${rule}: ${text.slice(0, 70)}`);
  }
});

test("opening-comment catches a file when it begins with code", () => {
  deepStrictEqual(rulesBroken("step();\n"), ["opening-comment"]);
  deepStrictEqual(rulesBroken("\n// late\n"), ["opening-comment"]);
});

test("every rule has a bad sample when the samples are counted", () => {
  const tree = readTree(ROOT).find(({ path }) => path === "tools/tidy-rules.ts");
  const table = /TIDY_RULES[^=]*= \[([^\]]*)\]/.exec(tree?.text ?? "")?.[1] ?? "";
  const rules = table.split(",").filter((name) => name.trim() !== "");
  const sampled = new Set<string>(BAD_SAMPLES.map(([rule]) => rule));
  // Has its own test, because every sample opens with a comment; layers.ts is not in the table.
  sampled.add("opening-comment").delete("layers");
  strictEqual(sampled.size, rules.length);
});

test("no rule fires when the sample only looks bad", () => {
  for (const [text, path] of [
    ["#!/usr/bin/env node\n// Opens late.\n", "tools/sample.mjs"],
    [functionOf(70)],
    [functionOf(200, "if (condition(a, b)) {")],
    [functionOf(200, "for await (const a of b) {")],
    [functionOf(200, "export class Long extends Base {")],
    [functionOf(200, 'describe("x", () => {').replace(/\}\n$/, "});\n"), "src/util/a.test.ts"],
    ["step();\n".repeat(599)],
    ["// Date.now() and any are words here, as is enum Op {\n", "src/pool/a.ts"],
    ['const text = "Date.now() as any, node:ffi";\n', "src/pool/a.ts"],
    ["const at = new Date(atMs);\n", "src/pool/a.ts"],
    ["const now = Date.now();\n", "src/reactor/clock.ts"],
    ["setTimeout(step, 1);\n", "src/pool/a.test.ts"],
    ['import { dlopen } from "node:ffi";\n', "src/sys/ffi.ts"],
    ["// TODO #12: batch\n// TODO(#13): too\n"],
    ["try { step(); } catch {\n  // The peer is gone: nobody is left to tell.\n}\n"],
    ["const company = many;\nconst anything: unknown = 1;\n"],
    ["const options = { only: true };\n"],
    ["export const x = 1;\nexport { x as defaults };\n"],
    [`// https://example.org/${"long/".repeat(20)}\n`],
  ] as const) {
    const opening = text.startsWith("#!") ? "" : OPENING;
    deepStrictEqual(rulesBroken(opening + text, path), [], text.slice(0, 70));
  }
});

test("findings name the line when the bad code is further down", () => {
  const text = `${OPENING}\nconst a = 1;\n\nconst b: any = a;\n`;
  const findings = checkTree([new SourceText("src/util/sample.ts", text)], []);
  deepStrictEqual(findings.map(formatFinding), [
    "src/util/sample.ts:5 any: say the type, or unknown",
  ]);
});

test("an exception lets its file pass when it is needed, and fails when it is not", () => {
  const exception = (rule: TidyException["rule"], limitLines: number): TidyException => ({
    rule,
    path: "src/util/sample.ts",
    limitLines,
    since: "2026-11-21",
    why: "a sample",
  });
  const long = [new SourceText("src/util/sample.ts", OPENING + functionOf(80))];
  const short = [new SourceText("src/util/sample.ts", OPENING + functionOf(20))];
  const rules = (...args: Parameters<typeof checkTree>): string[] =>
    checkTree(...args).map(({ rule }) => rule);
  deepStrictEqual(rules(long, [exception("function-length", 80)]), []);
  deepStrictEqual(rules(long, [exception("function-length", 79)]), ["function-length"]);
  deepStrictEqual(rules(short, [exception("function-length", 80)]), ["exception"]);
  deepStrictEqual(rules(short, [exception("file-length", 700)]), ["exception"]);
  deepStrictEqual(rules([], [exception("file-length", 700)]), ["exception"]);
});

test("longFiles names a file when it has more than 300 lines", () => {
  const sources = [300, 301].map(
    (lines) => new SourceText(`src/util/a-${lines}.ts`, "step();\n".repeat(lines)),
  );
  deepStrictEqual(
    longFiles(sources).map(({ path }) => path),
    ["src/util/a-301.ts"],
  );
});

// Every day `npm test` and `npm run ok` run tidy itself.
if (LONG_RUN) {
  test("the whole tree has no findings when all rules run over it", () => {
    deepStrictEqual(checkTree(readTree(ROOT), TIDY_EXCEPTIONS).map(formatFinding), []);
  });
}
