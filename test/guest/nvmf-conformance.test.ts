/**
 * Our NVMe/TCP initiator against the Linux kernel's target: the suite that every device passes, and
 * what happens when the target is away. One guest serves all tests; each conformance test has a
 * namespace of its own, which nobody has written to.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { after, test } from "node:test";
import { deviceConformance } from "../../src/block/conformance.ts";
import { PromiseDevice } from "../../src/block/promise-device.ts";
import { NvmfDevice, type NvmfOptions } from "../../src/devices/nvmf.ts";
import { discover } from "../../src/devices/nvmf/discover.ts";
import type { Reactor } from "../../src/reactor/reactor.ts";
import { TEST_LEVELS, type TestReactor, withReactor } from "../../src/reactor/test-reactor.ts";
import { guestSkipReason } from "../../src/testing/guest/guest-kernel.ts";
import { type NvmetTarget, startNvmetTarget } from "../../src/testing/guest/nvmet-target.ts";
import { forLongRun, LONG_RUN } from "../../src/testing/long-run.ts";
import { openingId } from "../../src/testing/nbd-pair.ts";

const SKIP = guestSkipReason("nvme");
/** More than there are conformance tests. */
const NAMESPACES = forLongRun(60, 160);
const BLOCK = 4096;
const LEVELS = TEST_LEVELS.filter((level) => level === "uring" || level === "portable");

/** Of the guest: `after` inside of a test would be about that test alone. */
const undo: (() => void | Promise<void>)[] = [];
after(async () => {
  for (const each of undo) await each();
});

let booting: Promise<NvmetTarget> | null = null;
let used = 0;

function target(): Promise<NvmetTarget> {
  const scope = { after: (fn: () => void | Promise<void>): void => void undo.push(fn) };
  booting ??= startNvmetTarget(scope, { namespaces: NAMESPACES, sizeMib: 16 });
  return booting;
}

async function open(reactor: Reactor, options: Partial<NvmfOptions> = {}): Promise<NvmfDevice> {
  const { port, nqn } = await target();
  return NvmfDevice.open(reactor, {
    addresses: [{ kind: "tcp", host: "127.0.0.1", port }],
    subsystemNqn: nqn,
    nsid: ++used,
    name: "nvmf://127.0.0.1/kernel",
    // QEMU's port takes one connection at a time: more wait for a second.
    queues: 2,
    connectTimeoutMs: 10_000,
    openingId: openingId(),
    ...options,
  });
}

const opener =
  (options: Partial<NvmfOptions> = {}) =>
  ({ reactor }: TestReactor) =>
    open(reactor, options);

if (SKIP === false) {
  const digests = { headerDigest: true, dataDigest: true };
  const narrow = { queues: 1, queueDepth: 2 };
  const at = (...names: readonly string[]) => ({
    levels: LEVELS.filter((level) => names.includes(level)),
    timeoutMs: 120_000,
  });
  // Every day each of the settings once, at one level each.
  const all = forLongRun(at("uring"), at("uring", "portable"));
  deviceConformance("nvmf of Linux", opener(), all);
  if (LONG_RUN) {
    deviceConformance("nvmf of Linux with digests", opener({ ...digests, queues: 1 }), all);
    deviceConformance("nvmf of Linux, one queue of two", opener(narrow), all);
  } else {
    const both = opener({ ...digests, ...narrow });
    deviceConformance("nvmf of Linux with digests, one queue of two", both, at("portable"));
  }
}

test(
  "NvmfDevice goes on when the kernel's target comes back",
  {
    skip: SKIP,
    timeout: 120_000,
  },
  () =>
    withReactor("portable", async ({ reactor }) => {
      const { takeAway, putBack } = await target();
      const device = await open(reactor);
      const user = new PromiseDevice(device);
      const filled = (value: number): Uint8Array => new Uint8Array(BLOCK).fill(value);
      for (let round = 1; round < forLongRun(3, 9); round++) {
        const writes = Array.from({ length: 50 }, (_, block) =>
          user.writeAt(block * BLOCK, filled(round)),
        );
        await takeAway();
        const waiting = user.writeAt(50 * BLOCK, filled(round));
        await putBack();
        await Promise.all([...writes, waiting]);
        for (let block = 0; block <= 50; block++) {
          deepStrictEqual(await user.readAt(block * BLOCK, BLOCK), filled(round));
        }
      }
      strictEqual(device.condition.link, "up");
      await user.close();
    }),
);

test("NvmfDevice is told what the kernel's target does not have", { skip: SKIP }, () =>
  withReactor("portable", async ({ reactor }) => {
    await rejects(open(reactor, { nsid: NAMESPACES + 1 }), {
      code: /namespace-unknown|controller/,
    });
    await rejects(open(reactor, { subsystemNqn: "nqn.2026-11.test:other" }), (error: Error) => {
      ok(/subsystem-unknown|connect-refused/.test(String((error as { code?: string }).code)));
      return true;
    });
  }),
);

test("discover reads the log page of the kernel's target", { skip: SKIP }, () =>
  withReactor("portable", async ({ reactor }) => {
    const { port, nqn } = await target();
    const address = { kind: "tcp", host: "127.0.0.1", port } as const;
    const { entries } = await discover(reactor, { address, hostId: openingId() });
    ok(entries.some(({ subsystemNqn }) => subsystemNqn === nqn));
  }),
);
