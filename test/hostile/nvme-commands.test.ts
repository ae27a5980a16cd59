/**
 * Wrong NVMe commands in whole PDUs: each gets the right status, and the queue goes on; what no
 * status can mend ends the connection. Other hosts notice nothing.
 *
 * spec: NVMe Base 2.0 3.3.3.2.1 (status codes); NVMe over Fabrics 1.1 3.3 (Connect)
 */

import assert from "node:assert/strict";
import { forEachLevel } from "../../src/testing/levels.ts";
import {
  type ConnectFields,
  capsule,
  connectCommand,
  h2cData,
  propertyGet,
  propertySet,
  type SqeFields,
} from "../../src/testing/nvme-bytes.ts";
import { checkNvmeHealth, subsystemOf } from "../../src/testing/nvme-health.ts";
import {
  blockBytesOf,
  NvmeRawClient,
  Terminated,
  transfer,
} from "../../src/testing/nvme-raw-client.ts";
import { startPenstock } from "../../src/testing/penstock-process.ts";
import { ConnectionClosed } from "../../src/testing/raw-socket.ts";
import { testSeed } from "../../src/testing/test-seed.ts";
import { Prng } from "../../src/util/prng.ts";

const MIB = 2 ** 20;
const SIZE_BYTES = 16 * MIB;
const DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery";

/** SCT and SC. */
const Sc = {
  opcode: 0x001,
  field: 0x002,
  idConflict: 0x003,
  transfer: 0x004,
  namespace: 0x00b,
  sequence: 0x00c,
  sglCount: 0x00e,
  sglLength: 0x00f,
  sglType: 0x011,
  sglOffset: 0x016,
  lbaRange: 0x080,
  queueId: 0x101,
  queueSize: 0x102,
  asyncLimit: 0x105,
  logPage: 0x109,
  incompatible: 0x180,
  busy: 0x181,
  parameters: 0x182,
  host: 0x184,
  queueType: 0x185,
} as const;

type Fields = Omit<SqeFields, "cid">;
type Case = readonly [what: string, fields: Fields, expected: readonly number[], data?: Buffer];

/** Of an I/O queue; `bytes` are those of a block. */
function ioCases(bytes: number): Case[] {
  const blocks = SIZE_BYTES / bytes;
  const read = (block: number, count: number) => transfer(2, block, count);
  const write = (block: number, count: number) => transfer(1, block, count);
  const one = { ...read(0, 1), lengthBytes: bytes };
  const block = Buffer.alloc(bytes, 3);
  return [
    ["an unknown opcode", { opcode: 0x7d, nsid: 1 }, [Sc.opcode]],
    ["an unknown opcode with data", { opcode: 0x81, nsid: 1 }, [Sc.opcode], block],
    ["namespace 0", { ...one, nsid: 0 }, [Sc.namespace]],
    ["namespace 2", { ...one, nsid: 2 }, [Sc.namespace]],
    ["all namespaces", { ...one, nsid: 0xffff_ffff }, [Sc.namespace, Sc.field]],
    ["a read behind the end", { ...read(blocks, 1), lengthBytes: bytes }, [Sc.lbaRange]],
    ["a read across the end", { ...read(blocks - 1, 2), lengthBytes: 2 * bytes }, [Sc.lbaRange]],
    [
      "a read at the end of numbers",
      { ...one, words: [0xffff_ffff, 0xffff_ffff, 0] },
      [Sc.lbaRange],
    ],
    ["a read at 2^53", { ...one, words: [0, 2 ** 21, 0] }, [Sc.lbaRange]],
    ["a read of 2 MiB", { ...read(0, (2 * MIB) / bytes), lengthBytes: 2 * MIB }, [Sc.field]],
    ["a read into too little", { ...read(0, 2), lengthBytes: bytes }, [Sc.sglLength]],
    ["a read into nothing", { ...read(0, 1), lengthBytes: 0 }, [Sc.sglLength, Sc.field]],
    ["a write of too little", write(0, 2), [Sc.sglLength], block],
    ["a write of nothing", { ...write(0, 1), lengthBytes: 0 }, [Sc.sglLength, Sc.field]],
    ["PRPs", { ...one, flags: 0 }, [Sc.field, Sc.sglType]],
    ["a list of segments", { ...one, sglType: 0x30 }, [Sc.sglType, Sc.sglCount, Sc.field]],
    ["an unknown kind of SGL", { ...one, sglType: 0xff }, [Sc.sglType, Sc.field]],
    ["a keyed SGL", { ...one, sglType: 0x4f }, [Sc.sglType, Sc.field]],
    [
      "a write behind its capsule",
      { ...write(0, 1), sglOffset: 4096 },
      [Sc.sglOffset, Sc.sglLength, Sc.field],
      block,
    ],
    ["a compare of too little", { ...transfer(5, 0, 2) }, [Sc.sglLength], block],
    [
      "deallocation without ranges",
      { opcode: 9, nsid: 1, words: [0, 4] },
      [Sc.sglLength, Sc.field],
    ],
    [
      "deallocation behind the end",
      { opcode: 9, nsid: 1, words: [0, 4] },
      [Sc.lbaRange],
      dsmRange(blocks, 8),
    ],
    ["zeroes behind the end", { opcode: 8, nsid: 1, words: [blocks, 0, 7] }, [Sc.lbaRange]],
    ["verification behind the end", { opcode: 12, nsid: 1, words: [blocks, 0, 7] }, [Sc.lbaRange]],
    ["a second Connect", { opcode: 0x7f, nsid: 1 }, [Sc.sequence, Sc.field], Buffer.alloc(1024)],
    ["a property", { ...propertyGet(0, 0, 8) }, [Sc.field, Sc.opcode, Sc.sequence, Sc.queueType]],
    ["an unknown fabrics command", { opcode: 0x7f, nsid: 0x55 }, [Sc.field, Sc.opcode]],
    ["a reserved fuse", { ...one, flags: 0x43 }, [Sc.field]],
  ];
}

const ADMIN_CASES: readonly Case[] = [
  ["an unknown opcode", { opcode: 0x3f }, [Sc.opcode]],
  ["creation of a queue", { opcode: 0x01, words: [0x0010_0001] }, [Sc.opcode, Sc.field]],
  ["identify what is unknown", { opcode: 6, lengthBytes: 4096, words: [0x7f] }, [Sc.field]],
  ["identify namespace 9999", { opcode: 6, nsid: 9999, lengthBytes: 4096 }, [Sc.namespace, 0]],
  [
    "identify into 100 bytes",
    { opcode: 6, nsid: 1, lengthBytes: 100 },
    [Sc.sglLength, Sc.field, 0],
  ],
  [
    "an unknown log page",
    { opcode: 2, lengthBytes: 512, words: [0x007f_007f] },
    [Sc.logPage, Sc.field],
  ],
  [
    "a log page from behind its end",
    { opcode: 2, lengthBytes: 512, words: [0x007f_0002, 0, 0xffff_f000, 0xffff_ffff] },
    [Sc.field],
  ],
  [
    "a log page at an odd place",
    { opcode: 2, lengthBytes: 512, words: [0x007f_0002, 0, 3] },
    [Sc.field],
  ],
  [
    "a log page of 16 GiB",
    { opcode: 2, lengthBytes: 512, words: [0xffff_0002, 0xffff] },
    [Sc.sglLength, Sc.field, 0],
  ],
  ["an unknown feature", { opcode: 0x0a, words: [0x7f] }, [Sc.field]],
  ["an unknown feature, set", { opcode: 0x09, words: [0x7f, 1] }, [Sc.field, 0x10e]],
  ["no queues", { opcode: 0x09, words: [7, 0xffff_ffff] }, [Sc.field]],
  ["an unknown property", propertyGet(0, 0x1000), [Sc.field]],
  ["a property at an odd place", propertyGet(0, 3), [Sc.field]],
  ["a property that is read only", propertySet(0, 0x1c, 1), [Sc.field]],
  ["a long property, set short", propertySet(0, 0, 1), [Sc.field]],
  ["an unknown fabrics command", { opcode: 0x7f, nsid: 0x55 }, [Sc.field, Sc.opcode]],
  ["abort of nobody", { opcode: 8, words: [0x1234_0005] }, [0, Sc.field]],
  ["firmware", { opcode: 0x11, lengthBytes: 4096 }, [Sc.opcode, Sc.field]],
  ["format", { opcode: 0x80, nsid: 1 }, [Sc.opcode, Sc.field]],
];

type BadConnect = readonly [
  what: string,
  fields: Partial<ConnectFields>,
  expected: readonly number[],
];

const BAD_CONNECTS: readonly BadConnect[] = [
  ["an unknown subsystem", { subsystem: "nqn.2026-11.io.penstock:nobody" }, [Sc.parameters]],
  ["no subsystem", { subsystem: "" }, [Sc.parameters]],
  ["a subsystem without an end", { subsystem: "n".repeat(256) }, [Sc.parameters]],
  ["no host", { host: "" }, [Sc.parameters, Sc.host]],
  ["a host without an end", { host: "n".repeat(256) }, [Sc.parameters, Sc.host]],
  ["another record format", { recfmt: 1 }, [Sc.incompatible]],
  ["a queue of one entry", { sqsize: 0 }, [Sc.parameters]],
  ["a controller that is named", { cntlid: 5 }, [Sc.parameters]],
  ["an I/O queue of nobody", { qid: 1, cntlid: 1 }, [Sc.parameters, Sc.sequence]],
  ["an I/O queue of any controller", { qid: 1, cntlid: 0xffff }, [Sc.parameters, Sc.sequence]],
  ["queue 65,535", { qid: 0xffff, cntlid: 0 }, [Sc.parameters, Sc.sequence, Sc.queueId]],
  ["an I/O queue for discovery", { qid: 1, subsystem: DISCOVERY }, [Sc.parameters, Sc.sequence]],
];

interface Rig {
  readonly uri: string;
  readonly options: { readonly subsystem: string };
  readonly admin: NvmeRawClient;
  readonly io: NvmeRawClient;
  /** Of a block. */
  readonly bytes: number;
}

forEachLevel("wrong NVMe commands get a status", {}, async (t, level) => {
  const pipes = [
    "malloc:///m?size=16MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:test",
    "malloc:///o?size=16MiB | nvmf://127.0.0.1:0/nqn.2026-11.io.penstock:other",
  ];
  const server = await startPenstock(t, pipes, { level });
  const { uri } = server;
  const options = { subsystem: subsystemOf(uri) };
  const admin = await NvmeRawClient.openAdmin(uri, options);
  const bytes = await blockBytesOf(admin);
  const io = await NvmeRawClient.openIo(uri, admin, options);
  const rig: Rig = { uri, options, admin, io, bytes };

  await t.test("of an I/O queue", () => ioCommands(rig));
  await t.test("of an admin queue", () => adminCommands(rig));
  for (const oneConnect of BAD_CONNECTS) {
    await t.test(`Connect with ${oneConnect[0]}`, () => badConnect(rig, oneConnect));
  }
  await t.test("Connect for a queue that is there", () => connectTwice(rig));
  await t.test("a command id twice", () => idTwice(rig));
  await t.test("more commands than the queue has entries", () => tooMany(rig));
  await t.test("too many asynchronous event requests", () => tooManyEvents(rig));
  await t.test("the second half of a fused pair alone", () => halfPair(rig));

  const prng = new Prng(testSeed(t));
  for (const share of server.uris) {
    await checkNvmeHealth(share, prng);
  }
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

async function ioCommands({ io, bytes }: Rig): Promise<void> {
  for (const oneCase of ioCases(bytes)) {
    await isRefused(io, oneCase);
  }
  await io.write(0, Buffer.alloc(8 * bytes, 5), bytes);
  assert.ok((await io.read(0, 8, bytes)).equals(Buffer.alloc(8 * bytes, 5)));
}

async function adminCommands({ admin }: Rig): Promise<void> {
  for (const oneCase of ADMIN_CASES) {
    await isRefused(admin, oneCase);
  }
  assert.equal((await admin.command({ opcode: 0x18 })).status, 0, "keep-alive");
}

async function badConnect({ uri, options }: Rig, [, fields, expected]: BadConnect): Promise<void> {
  const client = await NvmeRawClient.initialize(uri);
  const { sqe, data } = connectCommand({ qid: 0, subsystem: options.subsystem, ...fields });
  const { status } = await client.command(sqe, { inCapsule: data });
  assert.ok(expected.includes(status & 0x7ff), `status 0x${status.toString(16)}`);
  client.raw.destroy();
}

async function connectTwice({ uri, admin, io, options, bytes }: Rig): Promise<void> {
  const again = NvmeRawClient.openIo(uri, admin, options);
  await assert.rejects(again, /status 0x/);
  await io.write(0, Buffer.alloc(bytes, 6), bytes);
}

/**
 * Base 2.0 leaves it to the controller how far it looks for a conflict: the second command is
 * refused, or done, and does not disturb the first one.
 */
async function idTwice({ uri, io, options, bytes }: Rig): Promise<void> {
  const admin = await NvmeRawClient.openAdmin(uri, options);
  const client = await NvmeRawClient.openIo(uri, admin, options);
  const twice = { ...transfer(1, 0, 16_384 / bytes), cid: 77, lengthBytes: 16_384 };
  const data = Buffer.alloc(16_384, 0x37);
  await client.raw.write(capsule(twice));
  const { type, bytes: r2t } = await client.pdu();
  assert.equal(type, 9, "R2T");
  await client.raw.write(capsule({ opcode: 0, cid: 77, nsid: 1 }));
  const status = await statusOrEnd(client);
  assert.ok([0, Sc.idConflict].includes(Number(status) & 0x7ff), String(status));
  await client.raw.write(h2cData({ cid: 77, ttag: r2t.readUInt16LE(10), offset: 0, data }));
  assert.equal(await statusOrEnd(client), 0);
  assert.ok((await io.read(0, 16_384 / bytes, bytes)).equals(data));
  client.raw.destroy();
}

/** More than the queue holds: all are done in the end, or the queue ends. */
async function tooMany({ uri, io, options, bytes }: Rig): Promise<void> {
  const admin = await NvmeRawClient.openAdmin(uri, options);
  const client = await NvmeRawClient.openIo(uri, admin, { ...options, connect: { sqsize: 3 } });
  const write = { ...transfer(1, 0, 16_384 / bytes), lengthBytes: 16_384 };
  const flood = Array.from({ length: 200 }, (_, cid) => capsule({ ...write, cid }));
  await client.raw.write(Buffer.concat(flood));
  const data = Buffer.alloc(16_384);
  const answered = async () => {
    for (let left = flood.length; left > 0; ) {
      const { type, bytes: pdu } = await client.pdu();
      if (type === 5) {
        left -= 1;
      } else {
        const [cid, ttag] = [pdu.readUInt16LE(8), pdu.readUInt16LE(10)];
        await client.raw.write(h2cData({ cid, ttag, offset: 0, data }));
      }
    }
  };
  await answered().catch(endedInstead);
  client.raw.destroy();
  await io.write(0, Buffer.alloc(bytes, 8), bytes);
}

async function tooManyEvents({ uri, options }: Rig): Promise<void> {
  const other = await NvmeRawClient.openAdmin(uri, options);
  for (let index = 0; index < 100; index += 1) {
    await other.raw.write(capsule({ opcode: 0x0c, cid: 100 + index }));
  }
  const status = await statusOrEnd(other);
  assert.ok(status === "ended" || (status & 0x7ff) === Sc.asyncLimit, String(status));
  other.raw.destroy();
}

async function halfPair({ io, bytes }: Rig): Promise<void> {
  const half = { ...transfer(1, 0, 1), flags: 0x42 };
  const { status } = await io.command(half, { inCapsule: Buffer.alloc(bytes) });
  assert.ok([0x00a, Sc.field].includes(status & 0x7ff), `status 0x${status.toString(16)}`);
}

/** One of the statuses is given and the queue goes on. */
async function isRefused(
  client: NvmeRawClient,
  [what, fields, expected, data]: Case,
): Promise<void> {
  // The target may ask for data before it looks at the command.
  const onRequest = Buffer.alloc((fields.opcode & 1) === 1 ? (fields.lengthBytes ?? 0) : 0);
  const payload = data === undefined ? { onRequest } : { inCapsule: data };
  const { status } = await client
    .command({ ...fields, cid: client.cid() }, payload)
    .catch((error) => assert.fail(`${what}: ${error}`));
  assert.ok(expected.includes(status & 0x7ff), `${what}: status 0x${status.toString(16)}`);
}

/** The next CapsuleResp's status; R2Ts before it are left unanswered. */
async function statusOrEnd(client: NvmeRawClient): Promise<number | "ended"> {
  try {
    for (;;) {
      const { type, bytes } = await client.pdu();
      if (type === 5) {
        return bytes.readUInt16LE(22) >>> 1;
      }
    }
  } catch (error) {
    if (error instanceof Terminated || error instanceof ConnectionClosed) {
      return "ended";
    }
    throw error;
  }
}

function endedInstead(error: unknown): void {
  assert.ok(error instanceof Terminated || error instanceof ConnectionClosed, String(error));
}

/** One range of dataset management. */
function dsmRange(block: number, count: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(count, 4);
  bytes.writeBigUInt64LE(BigInt(block), 8);
  return bytes;
}
