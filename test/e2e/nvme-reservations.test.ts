/**
 * Reservations between two NVMe/TCP hosts: the holder writes, the other is refused, preemption
 * moves the reservation, and all of it is there again after `kill -9` of the target.
 *
 * spec: NVMe Base 2.0 7.2 to 7.5 (commands), 8.19 (reservations)
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type EngineAddress, parseEngineAddress } from "../../src/api/engine-address.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { askEngine } from "../../src/api/engine-client.ts";
import { PipeState } from "../../src/api/penstock/engine/v1/engine_pb.ts";
import { freePort } from "../../src/testing/free-port.ts";
import { forEachLevel, type Level } from "../../src/testing/levels.ts";
import { NvmeRawClient, transfer } from "../../src/testing/nvme-raw-client.ts";
import { startEngine, startPenstock } from "../../src/testing/penstock-process.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";

const NQN = "nqn.2026-11.io.penstock:test";
const CONFLICT = 0x83;
const WRITE_EXCLUSIVE = 1;
const EXCLUSIVE_ACCESS = 2;
/** CPTPL: keep registrations and reservation over a loss of power. */
const PERSIST = 3 * 2 ** 30;
const DATA = Buffer.alloc(4096, 0x5a);

class Host {
  readonly key: bigint;
  readonly hostId: Buffer;
  #admin: NvmeRawClient | undefined;
  #io: NvmeRawClient | undefined;

  constructor(key: number) {
    this.key = BigInt(key);
    this.hostId = Buffer.alloc(16, key);
  }

  async connect(uri: string): Promise<void> {
    const options = { subsystem: NQN, connect: { hostId: this.hostId } };
    this.#admin = await NvmeRawClient.openAdmin(uri, options);
    this.#io = await NvmeRawClient.openIo(uri, this.#admin, options);
  }

  close(): void {
    this.#admin?.raw.destroy();
    this.#io?.raw.destroy();
  }

  /** CRKEY 0 and NRKEY ours, or the other way round with `action` 1. */
  register(action: 0 | 1 = 0, flags = 0): Promise<number> {
    const keys = action === 0 ? [0n, this.key] : [this.key, 0n];
    return this.#command(0x0d, action + flags, keys);
  }

  acquire(type: number): Promise<number> {
    return this.#command(0x11, type << 8, [this.key, 0n]);
  }

  preempt(other: Host, type: number): Promise<number> {
    return this.#command(0x11, 1 | (type << 8), [this.key, other.key]);
  }

  release(type: number): Promise<number> {
    return this.#command(0x15, type << 8, [this.key]);
  }

  async write(): Promise<number> {
    const { status } = await this.#queue.command(transfer(1, 0, 8), { inCapsule: DATA });
    return status & 0x7ff;
  }

  async read(): Promise<number> {
    const { status } = await this.#queue.command({ ...transfer(2, 0, 8), lengthBytes: 4096 });
    return status & 0x7ff;
  }

  async report(): Promise<{ type: number; keys: bigint[]; holders: bigint[] }> {
    const report = { opcode: 0x0e, nsid: 1, lengthBytes: 4096, words: [1023, 1] };
    const { status, data } = await this.#queue.command(report);
    assert.equal(status, 0, "report");
    // Registrants of 64 bytes each follow a header of 64.
    const entries = Array.from({ length: data.readUInt16LE(5) }, (_, index) =>
      data.subarray(64 + index * 64, 128 + index * 64),
    );
    const keyOf = (entry: Buffer) => entry.readBigUInt64LE(8);
    const holders = entries.filter((entry) => ((entry[2] ?? 0) & 1) === 1);
    return { type: data[4] ?? 0, keys: entries.map(keyOf), holders: holders.map(keyOf) };
  }

  get #queue(): NvmeRawClient {
    assert.ok(this.#io !== undefined, "connected");
    return this.#io;
  }

  async #command(opcode: number, word: number, keys: readonly bigint[]): Promise<number> {
    const data = Buffer.alloc(keys.length * 8);
    for (const [index, key] of keys.entries()) {
      data.writeBigUInt64LE(key, index * 8);
    }
    const fields = { opcode, nsid: 1, words: [word] };
    const { status } = await this.#queue.command(fields, { inCapsule: data });
    return status & 0x7ff;
  }
}

async function startTarget(t: Parameters<typeof makeTempDir>[0], level: Level) {
  const folder = makeTempDir(t);
  const port = await freePort();
  const share = `nvmf://127.0.0.1:${port}/${NQN}?reservations=${folder}/reservations`;
  const pipe = `file://${folder}/disk.img?size=1MiB | ${share}`;
  return () => startPenstock(t, pipe, { level });
}

test("an engine keeps reservations for each pipe, until the pipe is deleted", async (t) => {
  const dataDir = makeTempDir(t);
  const port = await freePort();
  const text = `${dataDir}/disk.img?size=1MiB | nvmf://127.0.0.1:${port}/${NQN}`;
  const start = async () => {
    const engine = await startEngine(t, dataDir);
    return { engine, address: parseEngineAddress(engine.uri) };
  };
  const create = (address: EngineAddress) =>
    askEngine(address, ({ pipes }) => pipes.createPipe({ name: "disk", text }));
  let { engine, address } = await start();
  await create(address);
  const uri = `nvmf://127.0.0.1:${port}/${NQN}`;
  const host = new Host(0xa);
  await host.connect(uri);
  assert.equal(await host.register(0, PERSIST), 0);
  assert.equal(await host.acquire(WRITE_EXCLUSIVE), 0);
  host.close();
  await engine.stop("SIGKILL");
  ({ engine, address } = await start());
  // An engine serves its RPC while its pipes open.
  await askEngine(address, async ({ pipes }) => {
    const isReady = async () =>
      (await pipes.listPipes({})).pipes.every(({ state }) => state === PipeState.READY);
    while (!(await isReady())) await sleep(10);
  });
  const [again, other] = [new Host(0xa), new Host(0xb)];
  await Promise.all([again.connect(uri), other.connect(uri)]);
  assert.equal(await other.write(), CONFLICT, "after a kill as before");
  assert.equal(await again.write(), 0);
  again.close();
  other.close();
  await askEngine(address, ({ pipes }) => pipes.deletePipe({ name: "disk" }));
  await create(address);
  const late = new Host(0xb);
  await late.connect(uri);
  assert.deepEqual(await late.report(), { type: 0, keys: [], holders: [] });
  late.close();
  assert.deepEqual(await engine.stop(), { code: 0, signal: null }, engine.stderr);
});

forEachLevel("NVMe reservations of two hosts", {}, async (t, level) => {
  const start = await startTarget(t, level);
  let server = await start();
  const [a, b] = [new Host(0xa), new Host(0xb)];
  const connect = () => Promise.all([a.connect(server.uri), b.connect(server.uri)]);
  await connect();

  assert.equal(await a.acquire(WRITE_EXCLUSIVE), CONFLICT, "acquired without a registration");
  assert.equal(await a.register(0, PERSIST), 0);
  assert.equal(await a.acquire(WRITE_EXCLUSIVE), 0);
  assert.equal(await a.write(), 0, "the holder writes");
  assert.equal(await b.read(), 0, "others read beside write exclusive");
  assert.equal(await b.write(), CONFLICT);

  assert.equal(await b.register(0), 0);
  assert.equal(await b.write(), CONFLICT, "registered is not enough");
  assert.equal(await b.acquire(WRITE_EXCLUSIVE), CONFLICT);
  assert.deepEqual(await b.report(), { type: 1, keys: [0xan, 0xbn], holders: [0xan] });
  assert.equal(await b.preempt(a, EXCLUSIVE_ACCESS), 0);
  assert.equal(await a.write(), CONFLICT);
  assert.equal(await a.read(), CONFLICT, "exclusive access refuses reads too");
  assert.equal(await b.write(), 0);

  await server.stop("SIGKILL");
  a.close();
  b.close();
  server = await start();
  await connect();
  assert.deepEqual(await b.report(), { type: 2, keys: [0xbn], holders: [0xbn] });
  assert.equal(await a.write(), CONFLICT, "after a restart as before");
  assert.equal(await b.write(), 0);
  assert.equal(await b.release(EXCLUSIVE_ACCESS), 0);
  assert.equal(await a.write(), 0);
  assert.equal(await b.register(1), 0);
  assert.deepEqual(await b.report(), { type: 0, keys: [], holders: [] });
  a.close();
  b.close();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
