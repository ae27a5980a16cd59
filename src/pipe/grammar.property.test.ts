// Properties of the grammar over random trees and random texts: what is written is read back, and
// no text makes the parser throw anything else than a GrammarError, or take long.
//
// fast-check prints the seed of a failure; PENSTOCK_SEED=N runs with it again, and PENSTOCK_LONG=1
// tries twenty times as many.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import type { Pipe, Stage, StageOption } from "./ast.ts";
import { formatPipe } from "./formatter.ts";
import { parsePipe } from "./grammar.ts";
import { GrammarError } from "./grammar-error.ts";
import { TEXT_BYTES_MAX } from "./limits.ts";

const SEED = process.env.PENSTOCK_SEED;
const RUN_COUNT = process.env.PENSTOCK_LONG === "1" ? 20_000 : 400;
const RUNS: fc.Parameters<unknown> = {
  numRuns: RUN_COUNT,
  ...(SEED === undefined ? {} : { seed: Number(SEED) }),
};

const NO_SPAN = { offset: 0, length: 0 };

/** Any decoded text that a path or a value can hold: all but NUL and lone surrogates. */
const decoded = fc
  .string({ unit: "binary", maxLength: 12 })
  .map((text) => text.replaceAll("\0", ""));
const nasty = fc
  .array(fc.constantFrom("|", ",", "(", ")", "?", "&", "#", ";", "%", "%41", " ", "\n", ":", "é"))
  .map((parts) => parts.join(""));
const value = fc.oneof(decoded, nasty, fc.constant("64MiB"));
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);

const host = fc.oneof(
  fc.stringMatching(/^[a-z0-9_]{1,8}\.[a-z]{1,4}$/),
  fc.ipV4(),
  fc.ipV6().filter(isIPv6),
  fc.constant("fe80::1%eth0"),
);
const authority = fc.oneof(
  fc.constant({ host: "", port: undefined }),
  fc.record({ host, port: fc.option(fc.integer({ min: 0, max: 65535 }), { nil: undefined }) }),
);
const options: fc.Arbitrary<StageOption[]> = fc.uniqueArray(
  fc
    .record({
      key: fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/),
      value: fc.option(value),
      span: fc.constant(NO_SPAN),
      valueSpan: fc.constant(NO_SPAN),
    })
    .map(({ value, ...others }) =>
      value === null ? { ...others, value: "", isFlag: true } : { ...others, value },
    ),
  { maxLength: 4, selector: (option) => option.key },
);

const absolutePath = value.map((text) => ({ scheme: undefined, path: `/${text}` }));
const relativePath = fc.tuple(value, value).map(([first, rest]) => ({
  scheme: "file",
  path: `${first.replaceAll("/", "") || "."}/${rest}`,
}));

const uriStage: fc.Arbitrary<Stage> = fc
  .record({
    scheme: fc.stringMatching(/^[a-z][a-z0-9+.-]{0,8}$/),
    authority,
    place: fc.oneof(absolutePath, relativePath, fc.constant({ scheme: undefined, path: "" })),
    options,
  })
  .map(({ scheme, authority, place, options }) => ({
    kind: "uri",
    scheme: place.scheme ?? scheme,
    ...(place.scheme === undefined ? authority : { host: "", port: undefined }),
    path: place.path,
    label: undefined,
    options,
    span: NO_SPAN,
    schemeSpan: NO_SPAN,
    authoritySpan: NO_SPAN,
    pathSpan: NO_SPAN,
  }));

const { pipe } = fc.letrec<{ pipe: Pipe; stage: Stage; callStage: Stage }>((tie) => ({
  pipe: fc
    .array(tie("stage"), { minLength: 1, maxLength: 4, depthIdentifier: "pipe" })
    .map((stages) => ({ stages, span: NO_SPAN })),
  stage: fc.oneof({ maxDepth: 6, depthIdentifier: "pipe" }, uriStage, tie("callStage")),
  callStage: fc.record({
    kind: fc.constant("call" as const),
    name,
    label: fc.constant(undefined),
    arguments: fc.array(tie("pipe"), { maxLength: 3, depthIdentifier: "pipe" }),
    options,
    span: fc.constant(NO_SPAN),
    nameSpan: fc.constant(NO_SPAN),
  }),
}));

/** Labels are unique within a text, so they are given out after the tree is drawn. */
function withLabels(tree: Pipe, counter = { count: 0 }): Pipe {
  const stages = tree.stages.map((stage): Stage => {
    counter.count += 1;
    const label = counter.count % 3 === 0 ? `L${counter.count}.a_b-c` : undefined;
    return stage.kind === "uri"
      ? { ...stage, label }
      : { ...stage, label, arguments: stage.arguments.map((each) => withLabels(each, counter)) };
  });
  return { ...tree, stages };
}

function withoutSpans(tree: Pipe): unknown {
  const isSpan = (key: string) => key === "span" || key.endsWith("Span");
  return JSON.parse(JSON.stringify(tree, (key, part) => (isSpan(key) ? undefined : part)));
}

test("parsePipe gives the tree back when formatPipe wrote it", () => {
  fc.assert(
    fc.property(pipe, (drawn) => {
      const tree = withLabels(drawn);
      const text = formatPipe(tree);
      fc.pre(text.length * 3 <= TEXT_BYTES_MAX);
      const parsed = parsePipe(text);
      deepStrictEqual(withoutSpans(parsed), withoutSpans(tree));
      strictEqual(formatPipe(parsed), text);
    }),
    RUNS,
  );
});

/** Parses and checks all that must hold whatever the text is; true when it was a good one. */
function survives(text: string): boolean {
  try {
    const canonical = formatPipe(parsePipe(text));
    strictEqual(formatPipe(parsePipe(canonical)), canonical);
    return true;
  } catch (thrown) {
    ok(thrown instanceof GrammarError, `threw ${String(thrown)}`);
    ok(thrown.offset >= 0 && thrown.offset <= text.length);
    const [line = "", caret = "", ...message] = thrown.render(60).split("\n");
    ok([...line].length <= 60 && caret.length <= 61 && caret.endsWith("^"), thrown.render(60));
    strictEqual(message.join("\n"), thrown.message);
    ok(thrown.message.length < 300, `short: ${thrown.message}`);
    return false;
  }
}

const FRAGMENTS = [
  ..."|,()?&#;%=/:[]@~. \n\0",
  ..."ab1A😀\u202e",
  "://",
  "file:///a",
  "nbd://[::1]:10809/x",
  "mirror(",
  "limit#gold?iops=5",
  "; meta=none",
  "%41",
  "%C3",
  "%zz",
  "?a=b&c=d",
] as const;

test("parsePipe throws nothing but a GrammarError when the text is random", () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  const fragments = fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 40 });
  fc.assert(
    fc.property(bytes, (raw) => void survives(Buffer.from(raw).toString("latin1"))),
    RUNS,
  );
  fc.assert(
    fc.property(bytes, (raw) => void survives(Buffer.from(raw).toString("utf8"))),
    RUNS,
  );
  fc.assert(
    fc.property(fragments, (parts) => void survives(parts.join(""))),
    RUNS,
  );
  const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 100 });
  fc.assert(
    fc.property(units, (codes) => void survives(String.fromCharCode(...codes))),
    RUNS,
  );
});

test("parsePipe throws nothing but a GrammarError when a good text is damaged", () => {
  const place = fc.nat();
  const damage = fc.constantFrom(...FRAGMENTS, "");
  let goodCount = 0;
  fc.assert(
    fc.property(pipe, place, fc.nat({ max: 3 }), damage, (drawn, at, removed, added) => {
      const text = formatPipe(withLabels(drawn));
      const offset = at % (text.length + 1);
      const isGood = survives(text.slice(0, offset) + added + text.slice(offset + removed));
      goodCount += isGood ? 1 : 0;
    }),
    RUNS,
  );
  ok(goodCount > 0, "some damage leaves a good text, or this tests little");
});

/** A unit repeated up to the limit of a text; each aims at a loop that might be quadratic. */
const NASTY_UNITS = [
  ...FRAGMENTS,
  "a|",
  "/|",
  "a,",
  "m(",
  "m(a,",
  "m(/a|/b,",
  "a://b|",
  "a:",
  "%41/",
  "%41",
  "%C3%A9",
  "é",
  "\t",
  "a ",
  "a?b=c|",
  "key=x&",
  "key=",
  "token=://@",
  "://x@",
  "#a|",
  ".",
  "0",
  "-",
];

/** CPU time of this thread, so that a busy machine fails no test. */
function cpuMsOf(action: () => void): number {
  const start = process.threadCpuUsage();
  action();
  const { user, system } = process.threadCpuUsage(start);
  return (user + system) / 1000;
}

/** Measured: 15 ms at most. A quadratic loop over 64 KiB takes seconds. */
const PARSE_MS_MAX = 250;

test("parsePipe takes linear time when anything is repeated up to 64 KiB", () => {
  const prefixes = ["", "/", "a?b=", "nbd://", "nbd://h:", "nbd://[", "m(/a; ", "/%", "m(a,b)?x="];
  const suffixes = ["", "%", "\u202e"];
  for (const unit of NASTY_UNITS) {
    for (const prefix of prefixes) {
      for (const suffix of suffixes) {
        const count = Math.floor((TEXT_BYTES_MAX - 16) / Buffer.byteLength(unit));
        const text = prefix + unit.repeat(count) + suffix;
        const tookMs = cpuMsOf(() => survives(text));
        ok(tookMs < PARSE_MS_MAX, `${JSON.stringify(prefix + unit)} took ${tookMs} ms`);
      }
    }
  }
});

test("parsePipe takes linear time when a text is as wide as the bounds allow", () => {
  // Arguments of stages, each with options and escapes.
  const stage = (index: number) => `/a%20b?k1=%41&k2=v${index}`;
  const argument = Array.from({ length: 16 }, (_, index) => stage(index)).join("|");
  const text = `m(${Array.from({ length: 64 }, () => argument).join(",")})`;
  ok(text.length < TEXT_BYTES_MAX);
  const tookMs = cpuMsOf(() => ok(survives(text)));
  ok(tookMs < PARSE_MS_MAX, `took ${tookMs} ms`);
});
