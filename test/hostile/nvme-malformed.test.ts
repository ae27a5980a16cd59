/**
 * Wrong PDUs in every state of an NVMe/TCP connection: the target says why (C2HTermReq) and ends
 * that connection, and nobody else notices. Wrong commands are in nvme-commands.test.ts.
 *
 * spec: NVMe/TCP 1.0 3.5 (error handling), 3.6.2.5 (fatal error status)
 */

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { checkNvmeHealth, subsystemOf } from "../../src/testing/nvme-health.ts";
import { forEachLevel } from "../../src/testing/levels.ts";
import {
  capsule,
  connectCommand,
  type Digests,
  h2cData,
  h2cTermReq,
  icReq,
  NO_DIGESTS,
  pdu,
} from "../../src/testing/nvme-bytes.ts";
import { NvmeRawClient, Terminated, transfer } from "../../src/testing/nvme-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { ConnectionClosed } from "../../src/testing/raw-socket.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

/** Given bytes that can't be right, a target ends the connection at once, it doesn't wait. */
const END_MS_MAX = 15_000;
const BOTH: Digests = { header: true, data: true };
const HTTP = Buffer.from("GET / HTTP/1.1\r\nHost: penstock\r\n\r\n".repeat(8));
/** A TLS 1.3 ClientHello's first bytes. */
const TLS = Buffer.from(`16030100c8010000c40303${"5a".repeat(256)}`, "hex");

const [field, sequence, headerDigest, range, limit, parameter] = [1, 2, 3, 4, 5, 6];
const ANY = [field, sequence, headerDigest, range, limit, parameter];

/** Fatal error status: one of these. */
type Case = readonly [what: string, bytes: Buffer, fatalErrors: readonly number[]];

const CONNECT = connectCommand({ qid: 0, subsystem: "nqn.2026-11.io.penstock:test" });
const KEEP_ALIVE = { opcode: 0x18, cid: 9 };
const READ = { ...transfer(2, 0, 1), cid: 9, lengthBytes: 512 };

/** The first bytes of a connection. */
const UNINITIALIZED: readonly Case[] = [
  ["HTTP", HTTP, ANY],
  ["TLS", TLS, ANY],
  ["zeroes", Buffer.alloc(256), ANY],
  ["ones", Buffer.alloc(256, 0xff), ANY],
  ["a command", capsule(CONNECT.sqe, NO_DIGESTS, CONNECT.data), [sequence]],
  ["ICReq of another version", icReq({ version: 1 }), [parameter, field]],
  ["ICReq with HLEN 127", icReq({ wrong: { hlen: 127 } }), [field]],
  [
    "ICReq with PLEN 129",
    Buffer.concat([icReq({ wrong: { plen: 129 } }), Buffer.alloc(1)]),
    [field],
  ],
  ["ICReq with PLEN 8", icReq({ wrong: { plen: 8 } }), [field]],
  ["ICReq of 4 GiB", icReq({ wrong: { plen: 0xffff_ffff } }), [field]],
  ["ICReq with an alignment of 132 bytes", icReq({ alignment: 32 }), [field, parameter]],
  ["ICResp", pdu({ type: 1, header: Buffer.alloc(120) }), [sequence, field]],
];

/** After ICReq and ICResp, with both digests or with none. */
function initialized(digests: Digests): Case[] {
  const short = Buffer.alloc(16);
  const keepAlive = (wrong: object) => capsule(KEEP_ALIVE, digests, undefined, wrong);
  const types: Case[] = [1, 3, 5, 7, 9].map((type) => [
    `type ${type}, which controllers send`,
    pdu({ type, header: short }, digests),
    [sequence, field],
  ]);
  const unknown: Case[] = [8, 10, 0x7f, 0xff].map((type) => [
    `unknown type ${type}`,
    pdu({ type, header: short }, digests),
    [field, sequence],
  ]);
  const lengths: Case[] = [
    ["a capsule with HLEN 0", keepAlive({ hlen: 0 }), [field]],
    ["a capsule with HLEN 71", keepAlive({ hlen: 71 }), [field]],
    ["a capsule with HLEN 255", keepAlive({ hlen: 255 }), [field]],
    ["a capsule with PLEN 0", keepAlive({ plen: 0 }), [field]],
    ["a capsule with PLEN below HLEN", keepAlive({ plen: 64 }), [field]],
    ["a capsule of 4 GiB", keepAlive({ plen: 0xffff_ffff }), [field, range, limit]],
    ["a capsule of 1 MiB", keepAlive({ plen: 2 ** 20, pdo: 76 }), [field, range, limit]],
    [
      "data that begins in the header",
      capsule(CONNECT.sqe, digests, CONNECT.data, { pdo: 64 }),
      [field],
    ],
    [
      "data that begins behind the PDU",
      capsule(CONNECT.sqe, digests, CONNECT.data, { pdo: 252, plen: 200 }),
      [field],
    ],
    [
      "data that nobody asked for",
      h2cData({ cid: 9, ttag: 1, offset: 0, data: Buffer.alloc(512) }, digests),
      [field, sequence],
    ],
    ["a second ICReq", icReq({ digests }), [sequence, field, headerDigest]],
    ["HTTP", HTTP, ANY],
  ];
  const digestCases: Case[] = digests.header
    ? [
        ["a wrong header digest", keepAlive({ headerDigest: 1 }), [headerDigest]],
        [
          "a wrong header digest over data",
          capsule(CONNECT.sqe, digests, CONNECT.data, { headerDigest: 0x8000_0000 }),
          [headerDigest],
        ],
        ["no header digest", capsule(KEEP_ALIVE), [field, headerDigest]],
        ["the header digest's flag missing", keepAlive({ flags: 0 }), [field]],
      ]
    : [
        ["a header digest that was not agreed on", keepAlive({ flags: 1 }), [field]],
        [
          "a data digest that was not agreed on",
          capsule(CONNECT.sqe, digests, CONNECT.data, { flags: 2 }),
          [field],
        ],
      ];
  return [...types, ...unknown, ...lengths, ...digestCases];
}

/** Answers to an R2T for 16 KiB of a write; `ttag` is the right tag. */
function transfers(ttag: number, cid: number, digests: Digests): Case[] {
  const right = { cid, ttag, offset: 0, data: Buffer.alloc(4096) };
  const data = (change: object) => h2cData({ ...right, ...change }, digests);
  return [
    ["an unknown tag", data({ ttag: ttag ^ 0x5555 }), [field, sequence]],
    ["the tag of another command", data({ cid: cid ^ 0x55 }), [field, sequence]],
    ["data behind the range", data({ offset: 16_384 }), [range]],
    ["data across the range's end", data({ offset: 16_384 - 2048 }), [range, sequence]],
    ["data at the end of numbers", data({ offset: 0xffff_f000 }), [range]],
    ["data out of order", data({ offset: 8192 }), [sequence, range, field]],
    ["a length that is not the data's", data({ length: 8192 }), [field, range]],
    ["a length of 0", data({ length: 0 }), [field, range]],
    ["a length of 4 GiB", data({ length: 0xffff_ffff }), [field, range, limit]],
    ["the last of them too early", data({ last: true }), [field, sequence, range]],
    ["data that goes the other way", data({ type: 7 }), [sequence, field]],
    ["data in front of its header's end", data({ wrong: { pdo: 8 } }), [field]],
    ["HLEN 72", data({ wrong: { hlen: 72 } }), [field, headerDigest]],
  ];
}

forEachLevel("malformed NVMe/TCP PDUs end one connection", {}, async (t, level) => {
  const pipes = [
    "malloc:///m?size=16MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:test",
    "malloc:///o?size=16MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:other",
  ];
  const server = await startPenstock(t, pipes, { level });
  const { uri } = server;
  const prng = new Prng(testSeed(t));

  for (const [what, bytes, fatalErrors] of UNINITIALIZED) {
    await t.test(`at first: ${what}`, async () => {
      const client = await NvmeRawClient.uninitialized(uri);
      await client.raw.write(bytes);
      await isTerminated(client, fatalErrors);
    });
  }

  for (const digests of [NO_DIGESTS, BOTH]) {
    await t.test(digests.header ? "with digests" : "without digests", async (t) => {
      await statesWith(t, uri, digests);
    });
  }

  for (const share of server.uris) {
    await checkNvmeHealth(share, prng);
  }
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

/** Every state after ICReq. */
async function statesWith(t: TestContext, uri: string, digests: Digests): Promise<void> {
  const options = { subsystem: subsystemOf(uri), digests };
  const open = {
    initialized: () => NvmeRawClient.initialize(uri, { digests }),
    admin: () => NvmeRawClient.openAdmin(uri, options),
    io: async () => {
      const admin = await NvmeRawClient.openAdmin(uri, options);
      return await NvmeRawClient.openIo(uri, admin, options);
    },
  };
  for (const [state, make] of Object.entries(open)) {
    for (const [what, bytes, fatalErrors] of initialized(digests)) {
      await t.test(`${state}: ${what}`, async () => {
        const client = await make();
        await client.raw.write(bytes);
        await isTerminated(client, fatalErrors);
      });
    }
  }
  for (const [index, [what, , fatalErrors]] of transfers(0, 0, digests).entries()) {
    await t.test(`an answer to an R2T: ${what}`, async () => {
      const client = await open.io();
      const cid = client.cid();
      const write = { ...transfer(1, 0, 32), cid, lengthBytes: 16_384 };
      await client.raw.write(capsule(write, digests));
      const { type, bytes } = await client.pdu();
      assert.equal(type, 9, "R2T");
      const answer = transfers(bytes.readUInt16LE(10), cid, digests)[index]?.[1];
      await client.raw.write(answer ?? Buffer.alloc(0));
      await isTerminated(client, fatalErrors);
    });
  }
  await t.test("a command before Connect", async () => {
    const client = await open.initialized();
    await client.raw.write(capsule(READ, digests));
    const { status } = await client.completion(9).catch(endedInsteadOfAnswered);
    assert.notEqual(status, 0);
    client.raw.destroy();
  });
  await t.test("a termination by the host", async () => {
    for (const fatalError of [1, 2, 6, 0, 0xffff]) {
      const client = await open.io();
      await client.raw.write(h2cTermReq(fatalError));
      await client.raw.readToEnd(END_MS_MAX);
    }
  });
  if (digests.data) {
    await t.test("a wrong data digest fails one command", async () => {
      await wrongDataDigest(await open.io());
    });
  }
}

/** The data stays what it was. spec: NVMe/TCP 1.0 3.3.1.1: not fatal */
async function wrongDataDigest(client: NvmeRawClient): Promise<void> {
  const before = Buffer.alloc(4096, 1);
  await client.write(16, before, 512);
  const cid = client.cid();
  const wrong = { dataDigest: 0x100 };
  const write = { ...transfer(1, 16, 8), cid };
  await client.raw.write(capsule(write, client.digests, Buffer.alloc(4096, 7), wrong));
  const { status } = await client.completion(cid);
  assert.ok([0x22, 0x04].includes(status & 0x7ff), `status 0x${status.toString(16)}`);
  assert.ok((await client.read(16, 8, 512)).equals(before));
  client.raw.destroy();
}

/** The target says one of `fatalErrors` and ends the connection. */
async function isTerminated(client: NvmeRawClient, fatalErrors: readonly number[]): Promise<void> {
  const outcome = await client.pdu(END_MS_MAX).catch((error: unknown) => error);
  assert.ok(outcome instanceof Terminated, `no C2HTermReq: ${JSON.stringify(outcome)} ${outcome}`);
  assert.ok(fatalErrors.includes(outcome.fatalError), outcome.message);
  await client.raw.readToEnd(END_MS_MAX);
}

/** Where a command may be answered or end the connection. */
function endedInsteadOfAnswered(error: unknown): { status: number } {
  if (error instanceof Terminated || error instanceof ConnectionClosed) {
    return { status: -1 };
  }
  throw error;
}
