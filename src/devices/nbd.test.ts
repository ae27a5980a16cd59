// Tests of the NBD device: the suite of every device, through a share of our own.

import { deviceConformance } from "../block/conformance.ts";
import type { TestReactor } from "../reactor/test-reactor.ts";
import { type NbdPairOptions, openThroughNbd } from "../testing/nbd-pair.ts";
import { MallocDevice, type MallocOptions } from "./malloc.ts";

const MALLOC: MallocOptions = {
  name: "test",
  sizeBytes: 16 * 1024 * 1024 + 4096,
  instanceId: "11111111-2222-4333-8444-555555555555",
};

const open =
  (options: NbdPairOptions = {}, malloc: Partial<MallocOptions> = {}) =>
  async ({ reactor }: TestReactor) => {
    const backing = await MallocDevice.open(reactor, { ...MALLOC, ...malloc });
    return openThroughNbd(reactor, backing, options);
  };

deviceConformance("nbd", open(), { openReadOnly: open({ shareReadOnly: true }) });
deviceConformance("nbd over one connection", open({ initiator: { connections: 1 } }));
deviceConformance(
  "nbd of 4096-byte blocks",
  open({ initiator: { blockSizeBytes: 4096 } }, { blockSizeBytes: 4096 }),
);
