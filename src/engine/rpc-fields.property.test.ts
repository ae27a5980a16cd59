// Property test of every RPC, made from the schema: fields that are missing, wrong, too long,
// unknown or given twice, in any mixture, and bytes that are no message. Each answer has the right
// code and names a field that is wrong; what was refused has changed nothing; nothing is our bug.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type DescField, type DescMethod, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";
import { parseEngineAddress } from "../api/engine-address.ts";
import { file_penstock_engine_v1_engine as PIPES } from "../api/penstock/engine/v1/engine_pb.ts";
import { file_penstock_engine_v1_pool as POOLS } from "../api/penstock/engine/v1/pool_pb.ts";
import { SnapshotService } from "../api/penstock/engine/v1/snapshot_pb.ts";
import { cleanUp } from "../testing/cleanup.ts";
import { forLongRun } from "../testing/long-run.ts";
import { makeTempDir } from "../testing/temp-dir.ts";
import { testSeed } from "../testing/test-seed.ts";
import { Engine } from "./engine.ts";

const TEXT_BYTES_MAX = 64 * 1024;
const RUNS = forLongRun(200, 2000);
const END_OF_STREAM = 2;
const ENVELOPE_BYTES = 5;
const METHODS: readonly DescMethod[] = [PIPES, POOLS]
  .flatMap(({ services }) => services)
  .concat(SnapshotService)
  .flatMap(({ methods }) => methods)
  // What is wrong in a message within a message is named otherwise.
  .filter(({ methodKind }) => methodKind !== "client_streaming");
/** What may come of a call that no field is wrong in, besides success. */
const FAIR_CODES: ReadonlySet<string> = new Set([
  "invalid_argument",
  "not_found",
  "already_exists",
  "failed_precondition",
  "resource_exhausted",
  "deadline_exceeded",
  "aborted",
  "unavailable",
]);

interface Answer {
  /** Null: it worked. */
  readonly code: string | null;
  readonly message: string;
  /** Of our own ErrorDetail. */
  readonly field: string;
}

async function startEngine(t: TestContext): Promise<{ base: string; bugs: readonly string[] }> {
  const bugs: string[] = [];
  const engine = await Engine.start({
    version: "0.0.0",
    dataDir: join(makeTempDir(t), "data"),
    listen: [parseEngineAddress("127.0.0.1:0")],
    level: "portable",
    reactors: 1,
    placement: "together",
    makeUuid: randomUUID,
    onFatal: (stack) => bugs.push(stack),
    onBug: (stack) => bugs.push(stack),
  });
  cleanUp(t, async () => {
    await engine.close();
  });
  return { base: `http://${engine.listen[0]}`, bugs };
}

/** Calls by HTTP as others do. @param body JSON's text, or bytes of a message */
async function call(base: string, method: DescMethod, body: string | Uint8Array): Promise<Answer> {
  const isStream = method.methodKind !== "unary";
  const format = typeof body === "string" ? "json" : "proto";
  const content = Buffer.from(body as string);
  const envelope = Buffer.alloc(ENVELOPE_BYTES);
  envelope.writeUInt32BE(content.length, 1);
  const response = await fetch(`${base}/${method.parent.typeName}/${method.name}`, {
    method: "POST",
    headers: { "content-type": `application/${isStream ? "connect+" : ""}${format}` },
    body: isStream ? Buffer.concat([envelope, content]) : content,
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  if (!isStream) {
    return response.status === 200 ? answerOf(undefined) : answerOf(JSON.parse(bytes.toString()));
  }
  strictEqual(response.status, 200);
  for (let at = 0; at < bytes.length; ) {
    const end = at + ENVELOPE_BYTES + bytes.readUInt32BE(at + 1);
    const part = bytes.subarray(at + ENVELOPE_BYTES, end);
    if (bytes[at] === END_OF_STREAM) return answerOf(JSON.parse(part.toString()).error);
    at = end;
  }
  throw new Error("the stream has no end");
}

interface ErrorJson {
  readonly code: string;
  readonly message?: string;
  readonly details?: readonly { readonly debug?: { readonly field?: string } }[];
}

function answerOf(error: ErrorJson | undefined): Answer {
  const { code = null, message = "", details } = error ?? {};
  return { code, message, field: details?.[0]?.debug?.field ?? "" };
}

/** One field's value, and what is wrong with it. */
interface Chosen {
  readonly field: DescField;
  /** Undefined: not there. */
  readonly value: unknown;
  /** "type" is refused before anything else is looked at. */
  readonly fault: "none" | "type" | "value";
}

const WORDS = [
  ...["a", "b", "a@b", "gold", "1", "A", "..", "x/y", "limit", "limit#gold?iops=5", "limit?iops=x"],
  ...[
    "malloc:///m?size=1MiB | nbd://127.0.0.1:0/a",
    "null:///n?size=1MiB | limit | nbd://[::1]:0/b",
  ],
  ...["malloc:///m", "|", "crypt?key=secret", "tap:///gold | nbd://127.0.0.1:0/t"],
];

function valuesOf(field: DescField): fc.Arbitrary<Chosen> {
  const good = (value: unknown): Chosen => ({ field, value, fault: "none" });
  const of = (fault: Chosen["fault"], ...values: readonly unknown[]): fc.Arbitrary<Chosen> =>
    fc.constantFrom(...values.map((value) => ({ field, value, fault })));
  if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING) {
    // Without presence, nothing and "" are the same: a value is missing.
    const isRequired = field.proto.proto3Optional !== true;
    return fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...WORDS).map(good) },
      { weight: 2, arbitrary: fc.string({ unit: "binary", minLength: 1 }).map(good) },
      { weight: 1, arbitrary: of(isRequired ? "value" : "none", undefined, null) },
      { weight: 1, arbitrary: of("value", "", "x".repeat(TEXT_BYTES_MAX + 1)) },
      { weight: 1, arbitrary: of("type", 5, true, [], {}, ["a"]) },
    );
  }
  if (field.fieldKind === "list") {
    // Nothing that could be opened.
    return fc.oneof(
      { weight: 3, arbitrary: of("none", ["|"], ["limit"], ["null:///n?size=1MiB"], ["tap:///a"]) },
      { weight: 1, arbitrary: of("value", undefined, null, [], [""], Array(33).fill("limit")) },
      { weight: 1, arbitrary: of("type", 5, "a", {}, [5], [null], [["a"]]) },
    );
  }
  if (field.fieldKind === "scalar" && field.scalar === ScalarType.UINT32) {
    return fc.oneof(
      fc.constantFrom(undefined, 1, 50, 1000, "60").map(good),
      fc.nat().map(good),
      of("type", -1, 1.5, 2 ** 32, "x", true, [], {}),
    );
  }
  if (field.fieldKind === "enum") {
    return fc.oneof(of("none", undefined, null, 0, 1, 2, 7), of("type", "x", true, [], {}, 1.5));
  }
  if (field.fieldKind === "scalar" && field.scalar === ScalarType.UINT64) {
    if (field.proto.proto3Optional === true) {
      return fc.oneof(
        fc.constantFrom(undefined, 0, 4096, "1048576").map(good),
        of("value", 511, 4097, "18446744073709551615"),
        of("type", -1, 1.5, "18446744073709551616", "x", true, [], {}),
      );
    }
    return fc.oneof(
      fc.constantFrom(512, 1000, 2 ** 20, "2097152").map(good),
      of("value", undefined, null, 0, 511, "9007199254740992", "18446744073709551615"),
      of("type", -1, 1.5, "18446744073709551616", "x", true, [], {}),
    );
  }
  // `true` would follow the events for ever.
  ok(field.fieldKind === "scalar" && field.scalar === ScalarType.BOOL, `a kind for ${field}`);
  return fc.oneof(of("none", undefined, null, false), of("type", "true", 1, [], {}));
}

const anyCall = fc.constantFrom(...METHODS).chain((method) =>
  fc.record({
    method: fc.constant(method),
    chosen: fc.tuple(...method.input.fields.map(valuesOf)),
    unknown: fc.option(fc.constantFrom("nam", "Name", "__proto__", ""), { freq: 8, nil: null }),
    isProtoNamed: fc.boolean(),
  }),
);

test("every call tells what is wrong with it by field and code, and is done or not", async (t) => {
  const { base, bugs } = await startEngine(t);
  const list = METHODS.find(({ name }) => name === "ListPipes");
  ok(list !== undefined);
  const pipes = async (): Promise<string> => {
    const url = `${base}/${list.parent.typeName}/${list.name}`;
    const headers = { "content-type": "application/json" };
    return await (await fetch(url, { method: "POST", headers, body: "{}" })).text();
  };
  const reached = new Set<string>();
  const property = fc.asyncProperty(anyCall, async (each) => {
    const { method, chosen, unknown, isProtoNamed } = each;
    const named = chosen
      .filter(({ value }) => value !== undefined)
      .map(({ field, value }) => [isProtoNamed ? field.name : field.jsonName, value] as const);
    const extra = unknown === null ? [] : [[unknown, "x"] as const];
    const before = await pipes();
    const answer = await call(base, method, JSON.stringify(fromPairs([...named, ...extra])));
    reached.add(`${method.name} ${answer.code}`);
    deepStrictEqual(bugs, []);
    if (answer.code !== null) strictEqual(await pipes(), before, "a refused call changes nothing");
    const names = (fault: Chosen["fault"]): string[] =>
      chosen.filter((one) => one.fault === fault).map(({ field }) => field.name);
    if (names("type").length > 0 || unknown !== null) {
      strictEqual(answer.code, "invalid_argument", answer.message);
      // Of an enum its type is named, by who reads JSON.
      const enums = chosen.flatMap(({ field }) => (field.enum ? [field.enum.typeName] : []));
      const wrong = [
        ...names("type"),
        ...enums,
        ...(unknown === null ? [] : [JSON.stringify(unknown)]),
      ];
      ok(
        wrong.some((name) => answer.message.includes(name)),
        `"${answer.message}" names none of ${wrong}`,
      );
    } else if (names("value").length > 0) {
      // What is there but no name or text may be found first: it is wrong as well.
      strictEqual(answer.code, "invalid_argument", answer.message);
      ok(
        method.input.fields.some(({ name }) => name === answer.field),
        `"${answer.field}" is no field of ${method.input}: ${answer.message}`,
      );
      ok(answer.message.startsWith(`${answer.field}: `), answer.message);
    } else {
      ok(answer.code === null || FAIR_CODES.has(answer.code), `${answer.code} ${answer.message}`);
    }
  });
  await fc.assert(property, { numRuns: RUNS, seed: testSeed(t) });
  // Those that were not drawn, or only with what is right.
  for (const method of METHODS.filter(({ name }) => !reached.has(`${name} invalid_argument`))) {
    const { code } = await call(base, method, `{"nam": "x"}`);
    strictEqual(code, "invalid_argument", method.name);
  }
});

test("a field that is given twice is refused by name, under either of its names", async (t) => {
  const { base } = await startEngine(t);
  let checked = 0;
  for (const method of METHODS) {
    for (const { name, jsonName } of method.input.fields) {
      const { code, message } = await call(base, method, `{"${jsonName}": null, "${name}": null}`);
      // Two nulls say nothing; of one name JSON has one value.
      ok(name !== jsonName || code === "invalid_argument", message);
      const twice = await call(base, method, `{"${jsonName}": "1", "${name}": "1"}`);
      strictEqual(twice.code, "invalid_argument", twice.message);
      ok(twice.message.includes(name), twice.message);
      checked += 1;
    }
  }
  ok(checked >= 15);
});

test("bytes that are no message are refused, whatever they are", async (t) => {
  const { base, bugs } = await startEngine(t);
  const anyBytes = fc.tuple(fc.constantFrom(...METHODS), fc.uint8Array({ maxLength: 64 }));
  const property = fc.asyncProperty(anyBytes, async ([method, bytes]) => {
    // WatchEvents with `follow`, field 1 of any wire type, has no end.
    if (method.methodKind !== "unary" && bytes.some((byte) => (byte & 0x78) === 8)) return;
    const { code, message } = await call(base, method, bytes);
    // spec: gRPC doc/statuscodes.md: "internal" is what bytes that cannot be parsed get
    const isUnparsed = code === "internal" && message.startsWith("parse binary: ");
    const isFair = code === null || isUnparsed || FAIR_CODES.has(code);
    ok(isFair, `${method.name}: ${code} ${message}`);
    deepStrictEqual(bugs, []);
  });
  await fc.assert(property, { numRuns: RUNS, seed: testSeed(t) });
  const cut = fc.tuple(fc.constantFrom(...METHODS), fc.string({ unit: "binary" }));
  const noJson = fc.asyncProperty(cut, async ([method, text]) => {
    const { code } = await call(base, method, `{"${text}`);
    strictEqual(code, "invalid_argument");
  });
  await fc.assert(noJson, { numRuns: 200, seed: testSeed(t) });
});

/** Also of "__proto__", as JSON.parse makes it. */
function fromPairs(pairs: readonly (readonly [string, unknown])[]): object {
  const object = {};
  for (const [key, value] of pairs) {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true });
  }
  return object;
}
