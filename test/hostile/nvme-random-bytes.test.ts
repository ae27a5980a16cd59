/**
 * Garbage for an NVMe/TCP target: noise in each state, and valid sessions with some bytes changed.
 * A probe on another subsystem keeps its data meanwhile. What once did harm is in the corpus, which
 * goes first: nvme-corpus/*.txt, a comment, then "STATE HEX" per line; to add one, take the line
 * that a failure prints.
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { forEachLevel } from "../../src/testing/levels.ts";
import { forLongRun } from "../../src/testing/long-run.ts";
import {
  capsule,
  connectCommand,
  type Digests,
  h2cData,
  icReq,
  NO_DIGESTS,
  propertyGet,
  propertySet,
} from "../../src/testing/nvme-bytes.ts";
import { checkNvmeHealth, NvmeProbe, subsystemOf } from "../../src/testing/nvme-health.ts";
import { NvmeRawClient, transfer } from "../../src/testing/nvme-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { changed, noise, shuffled } from "../../src/testing/spoilt-bytes.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const SESSION_COUNT = forLongRun(600, 20_000);
const AT_ONCE = 12;
/** A spoilt length makes the target wait for more, so the host has to end it. */
const PATIENCE_MS = 20;
const CORPUS = join(import.meta.dirname, "nvme-corpus");
const NQN = "nqn.2026-11.io.penstock:test";

const STATES = ["uninitialized", "initialized", "admin", "io", "digests"] as const;
type State = (typeof STATES)[number];

interface Attack {
  readonly state: State;
  readonly bytes: Buffer;
}

forEachLevel(
  "random bytes for an NVMe/TCP target",
  { timeoutMs: forLongRun(120, 1800) * 1000 },
  async (t, level) => {
    const pipes = [
      `malloc:///victim?size=16MiB | nvmf://127.0.0.1:0/${NQN}`,
      "malloc:///other?size=16MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:other",
    ];
    const server = await startPenstock(t, pipes, { level });
    const [victim = "", other = ""] = server.uris;
    const prng = new Prng(testSeed(t));
    const probe = await NvmeProbe.open(other, prng.fork("probe"));
    const probing = probe.run();
    const attacks = corpus();
    for (let done = 0; done < SESSION_COUNT; done += AT_ONCE) {
      // Made as they are needed: the probe beside measures what this process does, too.
      const batch = Array.from({ length: AT_ONCE }, () => attacks.pop() ?? randomAttack(prng));
      const lines = () => batch.map(({ state, bytes }) => `${state} ${bytes.toString("hex")}`);
      await Promise.all(batch.map((attack) => send(victim, attack))).catch((error) =>
        assert.fail(`${error}; one of\n${lines().join("\n")}`),
      );
    }
    probe.stop();
    await probing;
    t.diagnostic(`${probe.checkCount} checks beside, slowest ${Math.round(probe.slowestMs)} ms`);
    for (const uri of server.uris) {
      await checkNvmeHealth(uri, prng);
    }
    assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr);
  },
);

function corpus(): Attack[] {
  const names = readdirSync(CORPUS).filter((name) => name.endsWith(".txt"));
  return names.flatMap((name) =>
    readFileSync(join(CORPUS, name), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const [state, hex = ""] = line.split(" ");
        assert.ok(STATES.includes(state as State), `${name}: state ${state}`);
        return { state: state as State, bytes: Buffer.from(hex, "hex") };
      }),
  );
}

function randomAttack(prng: Prng): Attack {
  const state = prng.pick(STATES);
  const valid = Buffer.concat(validPdus(state));
  switch (prng.below(5)) {
    case 0:
      return { state, bytes: noise(prng) };
    case 1:
      return { state, bytes: changed(valid, prng) };
    case 2:
      return { state, bytes: Buffer.concat(shuffled(validPdus(state), prng)) };
    case 3:
      return {
        state,
        bytes: Buffer.concat(validPdus(state).map((one) => maybeChanged(one, prng))),
      };
    default:
      return {
        state,
        bytes: Buffer.concat([valid.subarray(0, prng.below(valid.length)), noise(prng)]),
      };
  }
}

/** What a host would send from that state on. */
function validPdus(state: State): Buffer[] {
  const both: Digests = { header: true, data: true };
  const digests = state === "digests" ? both : NO_DIGESTS;
  const command = (fields: Parameters<typeof capsule>[0], data?: Buffer) =>
    capsule(fields, digests, data);
  const connect = connectCommand({ qid: 0, subsystem: NQN });
  const admin = [
    command(propertyGet(1, 0, 8)),
    command(propertySet(2, 0x14, 0x0046_0001)),
    command(propertyGet(3, 0x1c)),
    command({ opcode: 6, cid: 4, lengthBytes: 4096, words: [1] }),
    command({ opcode: 6, cid: 5, nsid: 1, lengthBytes: 4096, words: [0] }),
    command({ opcode: 2, cid: 6, lengthBytes: 512, words: [0x007f_0002] }),
    command({ opcode: 9, cid: 7, words: [7, 0x0001_0001] }),
    command({ opcode: 0x0c, cid: 8 }),
    command({ opcode: 0x18, cid: 9 }),
  ];
  if (state === "uninitialized" || state === "initialized") {
    const start = [command(connect.sqe, connect.data), ...admin];
    return state === "initialized" ? start : [icReq(), ...start];
  }
  if (state === "admin") {
    return admin;
  }
  const registration = Buffer.alloc(16, 1);
  return [
    command(transfer8(1, 1), Buffer.alloc(4096, 1)),
    command({ ...transfer8(2, 2), lengthBytes: 4096 }),
    command({ opcode: 0, cid: 3, nsid: 1 }),
    command(transfer8(5, 4), Buffer.alloc(4096, 1)),
    command({ opcode: 8, cid: 5, nsid: 1, words: [0, 0, 7] }),
    command({ opcode: 9, cid: 6, nsid: 1, words: [0, 4] }, Buffer.alloc(16)),
    command({ opcode: 0x0d, cid: 7, nsid: 1, words: [0] }, registration),
    command({ opcode: 0x0e, cid: 8, nsid: 1, lengthBytes: 4096, words: [1023] }),
    command({ ...transfer(1, 0, 32), cid: 9, lengthBytes: 16_384 }),
    h2cData({ cid: 9, ttag: 1, offset: 0, data: Buffer.alloc(1024) }, digests),
    command({ ...transfer8(5, 10), flags: 0x41 }, Buffer.alloc(4096, 1)),
    command({ ...transfer8(1, 11), flags: 0x42 }, Buffer.alloc(4096, 1)),
  ];
}

/** Of 4 KiB, at the beginning. */
function transfer8(opcode: number, cid: number) {
  return { ...transfer(opcode, 0, 8), cid };
}

/** Headers matter more than data: half of the changes are there. */
function maybeChanged(one: Buffer, prng: Prng): Buffer {
  if (prng.chance(0.7)) {
    return one;
  }
  const header = Math.min(one.length, 80);
  return Buffer.concat([changed(one.subarray(0, header), prng), one.subarray(header)]);
}

async function send(uri: string, { state, bytes }: Attack): Promise<void> {
  const options = { subsystem: subsystemOf(uri) };
  const hosts: NvmeRawClient[] = [];
  const digests = { header: state === "digests", data: state === "digests" };
  if (state === "uninitialized") {
    hosts.push(await NvmeRawClient.uninitialized(uri));
  } else if (state === "initialized") {
    hosts.push(await NvmeRawClient.initialize(uri));
  } else {
    hosts.push(await NvmeRawClient.openAdmin(uri, { ...options, digests }));
    const [admin] = hosts;
    if (state !== "admin" && admin !== undefined) {
      hosts.push(await NvmeRawClient.openIo(uri, admin, { ...options, digests }));
    }
  }
  const raw = hosts.at(-1)?.raw;
  await raw?.write(bytes);
  await raw?.readToEnd(PATIENCE_MS).catch(() => undefined);
  for (const host of hosts) {
    host.raw.destroy();
    await host.raw.closed;
  }
}
