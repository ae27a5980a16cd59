// Fuzz of a target's connection: commands with any fields, PDUs with bytes changed, and bytes of
// no sense. Whatever comes, nothing throws, and at the end nothing is held.

import { ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MallocDevice } from "../../devices/malloc.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { type CommandParts, capsule, h2cData, type PduForm } from "../../testing/nvme-pdus.ts";
import { NvmeTargetRig } from "../../testing/nvme-target-rig.ts";
import { NvmeStatus } from "../nvme/status.ts";

const RUNS = process.env.PENSTOCK_LONG === "1" ? 10_000 : 300;

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
/** Small numbers are more often right than large ones. */
const number = fc.oneof(fc.nat(8), fc.constantFrom(0xff, 0xffff, 0x7fff_ffff), uint32);
const anyData = fc.option(fc.uint8Array({ maxLength: 1200 }), { nil: undefined });

const anyCommand = fc
  .record({
    opcode: fc.oneof(fc.constantFrom(0, 1, 2, 5, 8, 9, 0x0c, 0x0d, 0x7f), fc.nat(255)),
    cid: fc.nat(20),
    nsid: fc.oneof(fc.constant(1), number),
    fuse: fc.oneof({ arbitrary: fc.constant(0), weight: 3 }, { arbitrary: fc.nat(3), weight: 2 }),
    psdt: fc.oneof({ arbitrary: fc.constant(1), weight: 9 }, { arbitrary: fc.nat(3), weight: 1 }),
    cdw10: number,
    cdw11: fc.oneof(fc.constant(0), fc.constant(4), number),
    cdw12: fc.oneof(fc.nat(3), number),
    transferBytes: fc.oneof(fc.constantFrom(512, 1024, 4096), number),
    data: anyData,
    sglOffset: fc.oneof(fc.constant(0), number),
  })
  .map(({ data, ...parts }): CommandParts => (data === undefined ? parts : { ...parts, data }));

const anyPart = fc.record({
  cid: fc.nat(20),
  ttag: fc.nat(3),
  offset: fc.constantFrom(0, 0, 512, 1024),
  data: fc.uint8Array({ minLength: 1, maxLength: 1200 }),
});

function scripts(form: PduForm): fc.Arbitrary<Buffer[]> {
  const commands = anyCommand.map((parts) => capsule(parts, form));
  const parts = anyPart.map(({ data, ...fields }) => h2cData(fields, data, form));
  /** With some bytes of its header changed, or cut. */
  const broken = fc
    .record({
      pdu: fc.oneof(commands, parts),
      changes: fc.array(fc.record({ at: fc.nat(75), value: fc.nat(255) }), { maxLength: 2 }),
      keptBytes: fc.oneof(fc.constant(0x7fff_ffff), fc.nat(200)),
    })
    .map(({ pdu, changes, keptBytes }) => {
      const copy = Buffer.from(pdu);
      for (const { at, value } of changes) if (at < copy.length) copy[at] = value;
      return copy.subarray(0, keptBytes);
    });
  const nonsense = fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes));
  const anything = fc.oneof(
    { arbitrary: commands, weight: 8 },
    { arbitrary: parts, weight: 3 },
    { arbitrary: broken, weight: 1 },
    { arbitrary: nonsense, weight: 1 },
  );
  return fc.array(anything, { minLength: 1, maxLength: 12 });
}

async function survives(script: readonly Buffer[], digests: number): Promise<void> {
  await withReactor("fake", async ({ reactor }) => {
    const device = await MallocDevice.open(reactor, {
      name: "m",
      sizeBytes: 1024 * 1024,
      instanceId: "01234567-89ab-cdef-0123-456789abcdef",
    });
    const rig = new NvmeTargetRig(device);
    await rig.connect({ digests });
    for (const bytes of script) {
      // It stops receiving when it has said what is wrong.
      if (!rig.stream.isReceiving) break;
      await rig.say(bytes).catch((thrown: unknown) => {
        if (rig.stream.isReceiving) throw thrown;
      });
      for (const command of rig.model.slow.splice(0)) command.complete(NvmeStatus.invalidField);
    }
    await rig.settle();
    await rig.hangUp();
    for (const command of rig.model.slow.splice(0)) command.complete(NvmeStatus.invalidField);
    await rig.settle();
    ok(rig.stream.isClosed, rig.reason);
    rig.finish();
    await device.close();
  });
}

test("TargetConnection survives whatever a host sends", () =>
  fc.assert(
    fc.asyncProperty(scripts({}), (script) => survives(script, 0)),
    { numRuns: RUNS },
  ));

test("TargetConnection survives whatever a host sends with digests", () =>
  fc.assert(
    fc.asyncProperty(scripts({ headerDigest: true, dataDigest: true }), (script) =>
      survives(script, 3),
    ),
    { numRuns: RUNS },
  ));
