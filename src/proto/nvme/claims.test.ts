// Tests of claims on namespaces: whose they are, what they keep out, and when they end.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";

import {
  ManualClock,
  type ModelCommand,
  modelDevice,
  ModelHost,
} from "../../testing/nvme-model-rig.ts";
import { NvmeNamespace } from "./namespace.ts";
import { DNR, NvmeStatus } from "./status.ts";
import { NvmeSubsystem } from "./subsystem.ts";
import { encodeClaimCommand } from "./vendor.ts";

const UUID = "0a0b0c0d-1111-4222-8333-444455556666";
const [ONE, TWO] = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
const CONFLICT = NvmeStatus.reservationConflict | DNR;

async function make() {
  const clock = new ManualClock();
  const subsystem = new NvmeSubsystem(clock, { nqn: "nqn.2026-11.io.penstock:test" });
  const device = await modelDevice();
  for (const nsid of [1, 2])
    subsystem.addNamespace(new NvmeNamespace({ nsid, device, uuid: UUID }));
  const host = (id = ONE, peer = "192.0.2.1"): ModelHost =>
    new ModelHost(subsystem, { id, peer, nqn: `nqn.2026-11.test:${id}` });
  return { clock, subsystem, host };
}

const ask = (host: ModelHost, isClaim: boolean, nsid: number): ModelCommand =>
  host.do((sqe) => encodeClaimCommand(nsid, isClaim, sqe));
const claim = (host: ModelHost, nsid = 1): number | null => ask(host, true, nsid).status;
const release = (host: ModelHost, nsid = 1): number | null => ask(host, false, nsid).status;

test("a namespace is one host's, by all of its controllers, until that releases it", async () => {
  const { host } = await make();
  const [one, oneAgain, two] = [host(), host(ONE, "192.0.2.7"), host(TWO, "192.0.2.2")];
  for (const each of [one, oneAgain, two]) each.start();
  deepStrictEqual([claim(one), claim(one), claim(oneAgain)], [0, 0, 0]);
  strictEqual(claim(two), CONFLICT);
  strictEqual(claim(two, 2), 0, "the other namespace is free");
  strictEqual(claim(one, 2), CONFLICT);
  strictEqual(release(two), 0, "what one has not got is not given back");
  strictEqual(claim(two), CONFLICT);
  strictEqual(release(oneAgain), 0);
  strictEqual(claim(two), 0);
  strictEqual(claim(one), CONFLICT);
  strictEqual(claim(one, 3), NvmeStatus.invalidNamespaceOrFormat | DNR);
});

test("hosts of one identifier and two names are two", async () => {
  const { subsystem, host } = await make();
  strictEqual(claim(host().start()), 0);
  const namesake = new ModelHost(subsystem, {
    id: ONE,
    peer: "192.0.2.3",
    nqn: "nqn.2026-11.test:x",
  });
  strictEqual(claim(namesake.start()), CONFLICT);
});

test("a claim ends when its host's last controller is gone, not when that has ended", async () => {
  const { host } = await make();
  const [one, oneAgain, two] = [host(), host(ONE, "192.0.2.7"), host(TWO, "192.0.2.2")];
  for (const each of [one, oneAgain, two]) each.start();
  strictEqual(claim(one), 0);
  one.admin.close();
  strictEqual(claim(two), CONFLICT, "it has another controller");
  const io = oneAgain.connectIo(1);
  oneAgain.admin.close();
  strictEqual(claim(two), CONFLICT, "its last queue has not ended");
  io.queue.close();
  strictEqual(claim(two), 0);
});

test("a silent host's claim ends with its keep-alive time", async () => {
  const { clock, host } = await make();
  const one = host().start(1000);
  const two = host(TWO, "192.0.2.2").start();
  strictEqual(claim(one), 0);
  clock.advance(1500);
  strictEqual(claim(two), CONFLICT);
  clock.advance(1000);
  one.admin.close();
  strictEqual(claim(two), 0);
});

test("a host that comes back finds its claim", async () => {
  const { host } = await make();
  const one = host().start();
  const two = host(TWO, "192.0.2.2").start();
  strictEqual(claim(one), 0);
  const before = one.admin;
  const back = host();
  const connected = back.connect();
  strictEqual(connected.status, null, "the earlier association has to go");
  before.close();
  strictEqual(connected.status, 0);
  strictEqual(claim(two), CONFLICT);
  back.configure({ enable: true });
  strictEqual(claim(back), 0);
});
