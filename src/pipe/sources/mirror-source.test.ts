// mirror(...) as a stage: its options, its legs, what it says of them when it is open.

import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { PromiseDevice } from "../../block/promise-device.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { Branch } from "../branch.ts";
import { planPipe } from "../pipe-plan.ts";
import type { PipeEvent } from "../stage-plan.ts";

const SHARE = "nbd://127.0.0.1:0/v";
const LEG = "malloc:///a?size=8MiB";

test("a mirror has 1 to 16 legs, each a pipe without a share", () => {
  for (const count of [1, 2, 16]) {
    const legs = Array.from({ length: count }, (_, index) => `malloc:///m${index}?size=1MiB`);
    const plan = planPipe(`mirror(${legs.join(", ")}) | ${SHARE}`);
    strictEqual(plan.branch.source.legs?.length, count);
  }
  const many = Array.from({ length: 17 }, () => LEG).join(", ");
  throws(() => planPipe(`mirror(${many}) | ${SHARE}`), { code: "child-count" });
  throws(() => planPipe(`mirror | ${SHARE}`), { code: "child-count" });
});

test("a mirror refuses a leg that others may write, at its option", () => {
  const shared = "file:///a?direct=1&shared=1";
  for (const leg of [shared, `${shared} | log`]) {
    const text = `mirror(${LEG}, ${leg}) | ${SHARE}`;
    throws(() => planPipe(text), { code: "shared-leg", offset: text.indexOf("shared=1") });
  }
  const nested = `mirror(${LEG}, mirror(${shared})) | ${SHARE}`;
  throws(() => planPipe(nested), { code: "shared-leg" });
  planPipe(`file:///a?shared=1 | log | ${SHARE}`);
  planPipe(`mirror(file:///a?shared=0) | ${SHARE}`);
});

for (const [options, code, message] of [
  ["meta=tail", "not-yet", /not yet in this version/],
  ["meta=/var/lib/m", "not-yet", /not yet in this version/],
  ["meta=nowhere", "choice-invalid", /expected none/],
  ["timeout=5", "duration-invalid", /unit|expected/],
  ["timeout=1ms", "duration-out-of-range", /./],
  ["read=fastest", "choice-invalid", /local, least-loaded/],
  ["copies=3", "unknown-option", /meta, read, timeout/],
] as const) {
  test(`mirror?${options} is refused: ${code}`, () => {
    throws(
      () => planPipe(`mirror(${LEG}, ${LEG})?${options} | ${SHARE}`),
      (error: { code?: string; message: string }) => {
        strictEqual(error.code, code);
        match(error.message, message);
        return true;
      },
    );
  });
}

test("a mirror opened from its text shows its children, its policy and its one warning", () =>
  withReactor("fake", async ({ reactor }) => {
    const text = "mirror(malloc:///a?size=8MiB, mirror(malloc:///b?size=8MiB))";
    const { branch } = planPipe(`${text}?timeout=250ms&read=least-loaded&meta=none | ${SHARE}`);
    const events: PipeEvent[] = [];
    const opened = await Branch.open(branch, {
      reactor,
      holder: "test",
      instanceSeed: "3f1c",
      report: (event) => events.push(event),
    });
    const { device } = opened.top;
    const details = device.describe() as {
      children: readonly { name: string; state: string; local: boolean }[];
      readPolicy: string;
      childTimeoutMs: number;
    };
    deepStrictEqual(
      details.children.map(({ name, state, local }) => [name, state, local]),
      [
        ["malloc:///a?size=8MiB", "in-sync", true],
        ["mirror(malloc:///b?size=8MiB)", "in-sync", false],
      ],
    );
    deepStrictEqual([details.readPolicy, details.childTimeoutMs], ["least-loaded", 250]);
    // One of each mirror, the inner one first.
    deepStrictEqual(
      events.map(({ code, stage }) => [code, stage.startsWith(text)]),
      [
        ["mirror-without-metadata", false],
        ["mirror-without-metadata", true],
      ],
    );
    strictEqual(device.info.name.startsWith(text), true);
    await opened.close();
  }));

test("a mirror over a mirror lets that one go on without its hung child", () =>
  withReactor("fake", async ({ reactor }) => {
    const hung = "malloc:///a?size=1MiB | fault?write=hang";
    const inner = `mirror(${hung}, malloc:///b?size=1MiB)`;
    const { branch } = planPipe(`mirror(${inner}, malloc:///c?size=1MiB) | ${SHARE}`);
    const faulted: string[] = [];
    const opened = await Branch.open(branch, {
      reactor,
      holder: "test",
      instanceSeed: "3f1c",
      report: ({ code, message }) => {
        if (code === "child-faulted") faulted.push(message);
      },
    });
    const device = new PromiseDevice(opened.top.above);
    await device.writeAt(0, new Uint8Array(4096));
    strictEqual(faulted.length, 1);
    const start = `${hung} faulted: write of`;
    strictEqual(faulted[0]?.slice(0, start.length), start);
    match(faulted[0] ?? "", /no answer within 5000 ms\. It lacks/);
    await opened.close();
  }));
