// Tests of crypt's plan: its options, where its errors point, and what it opens.

import { match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { Joint } from "../../block/joint.ts";
import { PromiseDevice } from "../../block/promise-device.ts";
import { MallocDevice } from "../../devices/malloc.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { makeTempDir } from "../../testing/temp-dir.ts";
import { GrammarError } from "../grammar-error.ts";
import { parsePipe } from "../grammar.ts";
import { planFilter } from "../registry.ts";
import type { FilterPlan } from "../stage-plan.ts";

const folder = makeTempDir({ after });
const INSTANCE_ID = "11111111-2222-4333-8444-555555555555";
const CONTEXT = { holder: "test", instanceSeed: INSTANCE_ID };

function plan(stage: string): FilterPlan {
  const text = `/a | ${stage} | nbd://h/x`;
  const parsed = parsePipe(text, { needsShare: true }).stages[1];
  ok(parsed !== undefined);
  return planFilter(text, parsed);
}

test("crypt stays where it is, and says why", () => {
  strictEqual(plan("crypt?key=env:K").fixedBecause, "crypt changes what is stored");
});

test("crypt's options are refused at their place, a key that is no reference unseen", () => {
  const cases: readonly (readonly [stage: string, code: string, words: RegExp])[] = [
    ["crypt", "missing-option", /"key"/],
    ["crypt?key=000102030405060708090a0b0c0d0e0f", "secret-invalid", /no reference/],
    ["crypt?key=env:K&cipher=aes-cbc-essiv", "choice-invalid", /aes-xts-plain64/],
    ["crypt?key=env:K&sector=1024", "choice-invalid", /512, 4096/],
    ["crypt?key=env:K&iv-large-sectors=1", "option-refused", /sector=4096/],
    ["crypt?key=env:K&skip=512B&sector=4096", "option-refused", /multiple of 4096/],
    ["crypt?key=env:K&skip=1B", "option-refused", /multiple of 512/],
    ["crypt?key=env:K&discard=pass", "choice-invalid", /zeroes, refuse/],
    ["crypt?key=env:K&sectors=4096", "unknown-option", /did you mean "sector"/],
  ];
  for (const [stage, code, words] of cases) {
    throws(
      () => plan(stage),
      (error) => {
        ok(error instanceof GrammarError, String(error));
        strictEqual(error.code, code, stage);
        match(error.message, words, stage);
        ok(!`${error.message} ${error.stack}`.includes("0a0b0c0d"), "no key is shown");
        return true;
      },
    );
  }
});

test("crypt's plan opens with the key of the file, read anew each time", () =>
  // A real level: the key's file is a real one.
  withReactor("portable", async ({ reactor }) => {
    const path = `${folder}/k`;
    const below = await MallocDevice.open(reactor, {
      name: "x",
      sizeBytes: 1024 * 1024,
      instanceId: INSTANCE_ID,
    });
    const { open } = plan(`crypt?key=file:${path}&sector=4096&discard=refuse`);
    const opening = () => open({ ...CONTEXT, reactor }, new Joint(below));
    await rejects(opening(), { code: "secret-unreadable" });
    writeFileSync(path, "a".repeat(63));
    await rejects(opening(), { code: "key-invalid", message: /63 hex digits/ });
    const first = Uint8Array.from({ length: 64 }, (_, index) => index);
    writeFileSync(path, first);
    const device = new PromiseDevice(await opening());
    const { info, operations } = device.device;
    strictEqual(info.name, `crypt?key=file:${path}&sector=4096&discard=refuse`);
    strictEqual(info.blockSizeBytes, 4096);
    strictEqual(operations.discard, "refuse");
    await device.writeAt(0, new Uint8Array(4096).fill(5));
    await device.device.close();
    writeFileSync(path, Buffer.from(first).toString("hex"));
    const again = new PromiseDevice(await opening());
    strictEqual((await again.readAt(0, 4096))[4095], 5);
    await again.device.close();
    writeFileSync(path, first.reverse());
    const wrong = new PromiseDevice(await opening());
    ok((await wrong.readAt(0, 4096)).some((byte) => byte !== 5));
    await wrong.device.close();
    await below.close();
  }));
