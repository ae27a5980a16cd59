// Tests of parsePipe: good texts with the trees they mean, and the bounds. The tables of bad texts
// are in syntax-errors.test.ts, the properties in grammar.property.test.ts.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import type { CallStage, Pipe, Span, Stage, UriStage } from "./ast.ts";
import { formatPipe } from "./formatter.ts";
import { parsePipe } from "./grammar.ts";
import { GrammarError } from "./grammar-error.ts";
import {
  ARGUMENT_COUNT_MAX,
  HOST_LENGTH_MAX,
  NAME_LENGTH_MAX,
  NESTING_DEPTH_MAX,
  OPTION_COUNT_MAX,
  STAGE_COUNT_MAX,
  TEXT_BYTES_MAX,
} from "./limits.ts";

function grammarErrorOf(text: string): GrammarError {
  try {
    parsePipe(text);
  } catch (thrown) {
    ok(thrown instanceof GrammarError, `${String(thrown)} is a GrammarError`);
    return thrown;
  }
  throw new Error(`parsed without an error: ${JSON.stringify(text.slice(0, 80))}`);
}

function onlyStage(text: string): Stage {
  const { stages } = parsePipe(text);
  strictEqual(stages.length, 1);
  const [stage] = stages;
  ok(stage !== undefined);
  return stage;
}

function uri(text: string): UriStage {
  const stage = onlyStage(text);
  ok(stage.kind === "uri", `${text} is a URI`);
  return stage;
}

function call(text: string): CallStage {
  const stage = onlyStage(text);
  ok(stage.kind === "call", `${text} is a call`);
  return stage;
}

const optionsOf = (stage: Stage) => stage.options.map(({ key, value }) => `${key}=${value}`);

test("parsePipe splits scheme, host, port and path when the stage is a URI", () => {
  const cases: readonly (readonly [string, string, string, number | undefined, string])[] = [
    ["file:///path", "file", "", undefined, "/path"],
    ["malloc:///name", "malloc", "", undefined, "/name"],
    ["null://", "null", "", undefined, ""],
    ["lvol:///pool/volume", "lvol", "", undefined, "/pool/volume"],
    ["nvmf://node-b:4420/nqn.2026-11.io:a", "nvmf", "node-b", 4420, "/nqn.2026-11.io:a"],
    ["iscsi://host.example/iqn.a:b/0", "iscsi", "host.example", undefined, "/iqn.a:b/0"],
    ["nbd+unix:///export", "nbd+unix", "", undefined, "/export"],
    ["vhost-user:///run/a.sock", "vhost-user", "", undefined, "/run/a.sock"],
    ["s3://my.bucket-1/a/b", "s3", "my.bucket-1", undefined, "/a/b"],
    ["NBD://Host_1:0", "nbd", "Host_1", 0, ""],
    ["nbd://0.0.0.0:65535/", "nbd", "0.0.0.0", 65535, "/"],
    ["nbd://[::1]:10809/a", "nbd", "::1", 10809, "/a"],
    ["nbd://[::]/a", "nbd", "::", undefined, "/a"],
    ["nbd://[fe80::1%25eth0]:1/a", "nbd", "fe80::1%eth0", 1, "/a"],
    ["file:////a//b/", "file", "", undefined, "//a//b/"],
    ["file:///a%20b%7C%2c%C3%A9%25", "file", "", undefined, "/a b|,é%"],
    ["file:///ünï/日本/😀@[x]=:+*", "file", "", undefined, "/ünï/日本/😀@[x]=:+*"],
  ];
  for (const [text, scheme, host, port, path] of cases) {
    const stage = uri(text);
    deepStrictEqual([stage.scheme, stage.host, stage.port, stage.path], [scheme, host, port, path]);
    deepStrictEqual([stage.label, stage.options], [undefined, []]);
  }
});

test("parsePipe makes a file of a bare path when it holds a slash", () => {
  for (const path of ["/var/lib/disk.img", "./x", "../x", "x/y.img", "limit/", "/", "a//b"]) {
    const stage = uri(path);
    deepStrictEqual(
      [stage.scheme, stage.host, stage.port, stage.path],
      ["file", "", undefined, path],
    );
  }
  strictEqual(uri("%7E/a%3Ab").path, "~/a:b");
  strictEqual(uri("./a:b/c?x=1").path, "./a:b/c");
  deepStrictEqual(optionsOf(uri("/a#b?size=1GiB")), ["size=1GiB"]);
});

test("parsePipe reads labels and options in order when a stage has them", () => {
  const limit = call("limit#gold?iops=500&burst=10");
  deepStrictEqual([limit.name, limit.label, limit.arguments], ["limit", "gold", []]);
  deepStrictEqual(optionsOf(limit), ["iops=500", "burst=10"]);
  const file = uri("file:///x#the.name_1-b?size=1GiB&a_b-2=");
  deepStrictEqual([file.path, file.label], ["/x", "the.name_1-b"]);
  deepStrictEqual(optionsOf(file), ["size=1GiB", "a_b-2="]);
  deepStrictEqual(optionsOf(call("crypt?key=file:/etc/a=b%26c")), ["key=file:/etc/a=b&c"]);
});

test("parsePipe nests pipes when a call has arguments", () => {
  const mirror = call("mirror(file:///a | limit?iops=5, mirror(b/, c/), d)");
  strictEqual(mirror.arguments.length, 3);
  deepStrictEqual(mirror.arguments.map(formatPipe), [
    "file:///a | limit?iops=5",
    "mirror(b/, c/)",
    "d",
  ]);
});

test("parsePipe reads the same tree when options and labels of a call stand elsewhere", () => {
  const canonical = "mirror#m(file:///a?x=1, file:///b)?meta=none&y=2";
  for (const text of [
    canonical,
    "mirror#m(file:///a?x=1,file:///b;meta=none;y=2)",
    "mirror(file:///a?x=1 , file:///b ; meta=none&y=2)#m",
    "mirror ( file:///a?x=1, file:///b; meta=none ) #m?y=2",
    "mirror#m(\n  /a?x=1,\n  /b;\n  meta=none;\n  y=2\n)",
    "mirror#m (/a?x=1, /b) ?meta=none&y=2",
  ]) {
    strictEqual(formatPipe(parsePipe(text)), canonical, text);
  }
});

test("parsePipe takes white space when it stands around bars, commas and parentheses", () => {
  const dense = parsePipe("mirror(/a|log,/b)|limit?iops=5|nbd://[::]:0/a");
  const loose = parsePipe(
    " \t\r\nmirror ( /a\n | log , /b ) \t|  limit?iops=5  |\r\n nbd://[::]:0/a \n",
  );
  strictEqual(formatPipe(loose), formatPipe(dense));
});

test("parsePipe gives spans that cut the text where each part stands", () => {
  const text = " mirror#m ( /a?x=%41 , nbd://h:1/e ; k=v ) | limit";
  const cut = ({ offset, length }: Span) => text.slice(offset, offset + length);
  const pipe = parsePipe(text);
  const [mirror, limit] = pipe.stages;
  ok(mirror?.kind === "call" && limit !== undefined);
  strictEqual(cut(pipe.span), text.trim());
  strictEqual(cut(mirror.span), "mirror#m ( /a?x=%41 , nbd://h:1/e ; k=v )");
  strictEqual(cut(mirror.nameSpan), "mirror");
  deepStrictEqual(
    mirror.options.map((option) => cut(option.span)),
    ["k=v"],
  );
  deepStrictEqual(
    mirror.arguments.map((argument) => cut(argument.span)),
    ["/a?x=%41", "nbd://h:1/e"],
  );
  strictEqual(cut(limit.span), "limit");
  const [file] = mirror.arguments[0]?.stages ?? [];
  const [nbd] = mirror.arguments[1]?.stages ?? [];
  ok(file?.kind === "uri" && nbd?.kind === "uri");
  deepStrictEqual(
    file.options.map((option) => cut(option.valueSpan)),
    ["%41"],
  );
  deepStrictEqual([cut(file.pathSpan), cut(file.schemeSpan)], ["/a", ""]);
  deepStrictEqual(
    [cut(nbd.schemeSpan), cut(nbd.authoritySpan), cut(nbd.pathSpan)],
    ["nbd", "h:1", "/e"],
  );
});

test("parsePipe refuses one stage when a share is needed, else takes it", () => {
  strictEqual(parsePipe("file:///a").stages.length, 1);
  throws(() => parsePipe(" /a ", { needsShare: true }), {
    name: "GrammarError",
    code: "missing-share",
    offset: 3,
    message: /found the end after the source, expected "\|" and a share/,
  });
  strictEqual(parsePipe("/a | nbd://[::]/a", { needsShare: true }).stages.length, 2);
});

const repeat = (count: number, part: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => part(index));

/** Nests `depth` calls around a path. */
const nested = (depth: number) => `${"m(".repeat(depth)}/a${")".repeat(depth)}`;

/** Each: the text that just fits, the one that does not, and the error of the latter. */
const BOUNDS: readonly (readonly [string, string, string, number, number])[] = [
  [
    `/${"a".repeat(TEXT_BYTES_MAX - 1)}`,
    `/${"a".repeat(TEXT_BYTES_MAX)}`,
    "too-long",
    TEXT_BYTES_MAX,
    TEXT_BYTES_MAX,
  ],
  [
    `/${"é".repeat(TEXT_BYTES_MAX / 2 - 1)}`,
    `/${"é".repeat(TEXT_BYTES_MAX / 2)}`,
    "too-long",
    TEXT_BYTES_MAX / 2,
    TEXT_BYTES_MAX,
  ],
  [
    nested(NESTING_DEPTH_MAX),
    nested(NESTING_DEPTH_MAX + 1),
    "too-deep",
    2 * NESTING_DEPTH_MAX + 1,
    NESTING_DEPTH_MAX,
  ],
  [
    repeat(STAGE_COUNT_MAX, () => "a").join("|"),
    repeat(STAGE_COUNT_MAX + 1, () => "a").join("|"),
    "too-many-stages",
    2 * STAGE_COUNT_MAX,
    STAGE_COUNT_MAX,
  ],
  [
    `m(${repeat(ARGUMENT_COUNT_MAX, () => "a").join(",")})`,
    `m(${repeat(ARGUMENT_COUNT_MAX + 1, () => "a").join(",")})`,
    "too-many-arguments",
    2 + 2 * ARGUMENT_COUNT_MAX,
    ARGUMENT_COUNT_MAX,
  ],
  [
    `a?${repeat(OPTION_COUNT_MAX, (index) => `k${index + 10}=`).join("&")}`,
    `a?${repeat(OPTION_COUNT_MAX + 1, (index) => `k${index + 10}=`).join("&")}`,
    "too-many-options",
    2 + 5 * OPTION_COUNT_MAX,
    OPTION_COUNT_MAX,
  ],
  [
    "a".repeat(NAME_LENGTH_MAX),
    "a".repeat(NAME_LENGTH_MAX + 1),
    "name-too-long",
    0,
    NAME_LENGTH_MAX,
  ],
  [
    `${"a".repeat(NAME_LENGTH_MAX)}://`,
    `${"a".repeat(NAME_LENGTH_MAX + 1)}://`,
    "name-too-long",
    0,
    NAME_LENGTH_MAX,
  ],
  [
    `a#${"b".repeat(NAME_LENGTH_MAX)}`,
    `a#${"b".repeat(NAME_LENGTH_MAX + 1)}`,
    "name-too-long",
    2,
    NAME_LENGTH_MAX,
  ],
  [
    `a?${"b".repeat(NAME_LENGTH_MAX)}=`,
    `a?${"b".repeat(NAME_LENGTH_MAX + 1)}=`,
    "name-too-long",
    2,
    NAME_LENGTH_MAX,
  ],
  [
    `n://${"a.".repeat(HOST_LENGTH_MAX / 2)}b`,
    `n://${"a.".repeat(HOST_LENGTH_MAX / 2)}bc`,
    "bad-host",
    4,
    HOST_LENGTH_MAX,
  ],
];

test("parsePipe names the limit when a text goes one beyond it, and takes the limit itself", () => {
  for (const [fitting, beyond, code, offset, limit] of BOUNDS) {
    const pipe: Pipe = parsePipe(fitting);
    ok(pipe.stages.length > 0);
    const error = grammarErrorOf(beyond);
    deepStrictEqual([error.code, error.offset], [code, offset], error.message);
    ok(error.message.includes(String(limit)), error.message);
  }
});

test("parsePipe keeps only what fits when the text has no end in sight", () => {
  const error = grammarErrorOf("x".repeat(10 * TEXT_BYTES_MAX));
  deepStrictEqual([error.code, error.text.length], ["too-long", TEXT_BYTES_MAX]);
});
