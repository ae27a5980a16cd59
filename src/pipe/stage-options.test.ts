// Tests of StageOptions: every type read well and refused by name, limit and position.

import { deepStrictEqual, doesNotThrow, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { PenstockError } from "../util/errors.ts";
import { parsePipe } from "./grammar.ts";
import { GrammarError } from "./grammar-error.ts";
import { StageOptions } from "./stage-options.ts";

/** Options of the last stage of `text`, whose first stage stands there to shift positions. */
function optionsOf(text: string): StageOptions {
  const stage = parsePipe(text).stages.at(-1);
  ok(stage !== undefined);
  return new StageOptions(text, stage);
}

test("StageOptions gives typed values when they are written well", () => {
  const options = optionsOf(
    "/a | x?s=a%26b&size=64MiB&time=5ms&n=42&neg=-3&on=yes&off=0&mode=tail&f=file:/etc/k&e=env:KEY",
  );
  strictEqual(options.string("s"), "a&b");
  strictEqual(options.size("size"), 64 * 2 ** 20);
  strictEqual(options.duration("time"), 5);
  strictEqual(options.integer("n", { max: 42 }), 42);
  strictEqual(options.integer("neg", { min: -3 }), -3);
  strictEqual(options.boolean("on"), true);
  strictEqual(options.boolean("off"), false);
  strictEqual(options.oneOf("mode", ["none", "tail"]), "tail");
  deepStrictEqual(options.secret("f"), { kind: "file", path: "/etc/k" });
  deepStrictEqual(options.secret("e"), { kind: "env", name: "KEY" });
  options.finish();
});

test("StageOptions returns the fallback when the option is not given", () => {
  const options = optionsOf("x");
  strictEqual(options.string("s", { fallback: "d" }), "d");
  strictEqual(options.size("size", { fallback: undefined }), undefined);
  strictEqual(options.duration("time", { fallback: 1 }), 1);
  strictEqual(options.integer("n", { fallback: -1, min: 0 }), -1);
  strictEqual(options.boolean("b", { fallback: false }), false);
  strictEqual(options.secret("k", { fallback: undefined }), undefined);
  const mode: "none" | "tail" | "auto" = options.oneOf("m", ["none", "tail"], { fallback: "auto" });
  strictEqual(mode, "auto");
  strictEqual(options.value("v", Number, { fallback: null }), null);
  options.finish();
});

test("StageOptions points at the value when it does not fit", () => {
  type Read = (options: StageOptions) => unknown;
  const cases: readonly (readonly [string, Read, string, RegExp])[] = [
    ["", (o) => o.string("k"), "string-out-of-range", /found an empty value, expected 1 to 4096/],
    ["abc", (o) => o.string("k", { lengthMax: 2 }), "string-out-of-range", /3 .*expected 1 to 2/],
    ["64", (o) => o.size("k"), "size-invalid", /a unit is required/],
    ["1Mib2", (o) => o.size("k"), "size-invalid", /1Mib2/],
    ["1KiB", (o) => o.size("k", { minBytes: 4096 }), "size-out-of-range", /"1KiB".*4096/],
    ["1TiB", (o) => o.size("k", { maxBytes: 5 }), "size-out-of-range", /5/],
    ["1".repeat(41), (o) => o.size("k"), "value-too-long", /found 41 .* at most 40/],
    ["5", (o) => o.duration("k"), "duration-invalid", /a unit is required/],
    ["5s", (o) => o.duration("k", { maxMs: 1000 }), "duration-out-of-range", /"5s".*1s/],
    ["1.5", (o) => o.integer("k"), "integer-invalid", /"1.5", expected an integer from 0 to/],
    ["0x10", (o) => o.integer("k"), "integer-invalid", /"0x10"/],
    ["-1", (o) => o.integer("k"), "integer-out-of-range", /"-1", expected .* from 0 to/],
    ["9", (o) => o.integer("k", { min: 1, max: 8 }), "integer-out-of-range", /"9".* 1 to 8/],
    ["9007199254740993", (o) => o.integer("k"), "integer-out-of-range", /9007199254740991/],
    ["maybe", (o) => o.boolean("k"), "boolean-invalid", /"maybe", expected true or false/],
    ["tial", (o) => o.oneOf("k", ["none", "tail"]), "choice-invalid", /none, tail.*"tail"\?/],
  ];
  for (const [value, read, code, words] of cases) {
    const options = optionsOf(`/a | x?other=1&k=${value}`);
    throws(
      () => read(options),
      (error) => {
        ok(error instanceof GrammarError);
        deepStrictEqual([error.code, error.offset], [code, 17], error.message);
        ok(error.message.startsWith('option "k": ') && words.test(error.message), error.message);
        return true;
      },
    );
  }
});

test("StageOptions shows no secret when one stands in the place of a reference", () => {
  for (const value of ["deadbeef", "file:", "env:", "env:1deadbeef", "FILE:/deadbeef", ""]) {
    const options = optionsOf(`crypt?cipher=${value}&x=1`);
    throws(
      () => options.secret("cipher"),
      (error) => {
        ok(error instanceof GrammarError);
        deepStrictEqual([error.code, error.offset, error.cause], ["secret-invalid", 13, undefined]);
        ok(/expected file:PATH or env:NAME/.test(error.message));
        strictEqual(error.text, `crypt?cipher=${"*".repeat(value.length)}&x=1`);
        strictEqual(JSON.stringify([error.render(), error.stack]).includes("deadbeef"), false);
        return true;
      },
    );
  }
});

test("StageOptions points at the stage when a required option is missing", () => {
  throws(() => optionsOf("/a | limit?x=1").integer("iops"), {
    code: "missing-option",
    offset: 5,
    message: 'found no option "iops", which "limit" needs',
  });
  throws(() => optionsOf("/a | malloc:///m").size("size"), {
    code: "missing-option",
    offset: 5,
    message: 'found no option "size", which malloc:// needs',
  });
});

test("StageOptions points at the misspelt option when a required one is missing", () => {
  throws(() => optionsOf("malloc:///m?x=1&szie=1GiB").size("size"), {
    code: "missing-option",
    offset: 16,
    message: /found no option "size", .* \(did you mean it by "szie"\?\)/,
  });
});

test("finish refuses the first option that nobody read, with the nearest known key", () => {
  const options = optionsOf("/a | limit?iops=5&burts=1&zzz=1");
  options.integer("iops");
  options.integer("burst", { fallback: 0 });
  throws(() => options.finish(), {
    code: "unknown-option",
    offset: 18,
    message:
      'found the option "burts", which "limit" does not have, ' +
      'expected one of burst, iops (did you mean "burst"?)',
  });
  throws(() => optionsOf("log?x=1").finish(), { message: /expected no options$/, offset: 4 });
  doesNotThrow(() => optionsOf("log").finish());
});

test("has and refuse serve checks over several options", () => {
  const options = optionsOf("x?size=1MiB&blocks=5");
  deepStrictEqual([options.has("size"), options.has("other")], [true, false]);
  const error = options.refuse("blocks", 'found "blocks" beside "size", expected one of them');
  deepStrictEqual([error.code, error.offset], ["option-refused", 19]);
  strictEqual(options.refuse("other", "expected it").offset, 0);
  throws(() => options.finish(), { code: "unknown-option", offset: 2 });
});

test("value reports a PenstockError at the value and lets a bug of ours through", () => {
  const options = optionsOf("x?k=v");
  const cause = new PenstockError({ code: "uuid-invalid", message: "no UUID" });
  const throwing = (thrown: Error) => () => {
    throw thrown;
  };
  throws(() => options.value("k", throwing(cause)), {
    name: "GrammarError",
    code: "uuid-invalid",
    offset: 4,
    message: 'option "k": no UUID',
    cause,
  });
  throws(() => options.value("k", throwing(new TypeError("bug"))), TypeError);
});
