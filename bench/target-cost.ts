/**
 * What a command costs a server: NBD and NVMe/TCP, one connection each, over memory, to a client
 * that sends all it may have outstanding at once and then waits for all answers. Prints a table.
 *
 *   node bench/target-cost.ts [DEPTH] [MILLISECONDS]
 *
 * The server's processor time is what counts, kernel and all; goals at depth 32, 4 KiB: 1.8 us per
 * read, 2.2 us per write (NVMe/TCP).
 */

import { fork } from "node:child_process";
import { connect, type Socket } from "node:net";
import { MallocDevice } from "../src/devices/malloc.ts";
import { ClientFlag, Command, Option } from "../src/proto/nbd/constants.ts";
import { IoOpcode } from "../src/proto/nvme/constants.ts";
import { chooseLevel, openIo } from "../src/reactor/open-io.ts";
import { Reactor } from "../src/reactor/reactor.ts";
import { NbdService } from "../src/shares/nbd-service.ts";
import { NvmfService } from "../src/shares/nvmf-service.ts";
import { clientFlags, goData, option, request } from "../src/testing/nbd-bytes.ts";
import { capsule, connectCapsule, h2cData, icReq, propertySet } from "../src/testing/nvme-pdus.ts";
import { crc32c } from "../src/util/crc32c.ts";

const SIZE_BYTES = 256 * 1024 * 1024;
const NQN = "nqn.2026-11.io.penstock:cost";
const ROUNDS = 5;
const US_PER_MS = 1000;
const IC_RESP_BYTES = 128;
const INITIAL_NBD_BYTES = 18;
const NO_FLOW_CONTROL = 4;
/** DIGESTS=3 in the environment: header digests (1), data digests (2). */
const DIGESTS = Number(process.env.DIGESTS ?? 0);
const FORM = { headerDigest: (DIGESTS & 1) !== 0, dataDigest: (DIGESTS & 2) !== 0 };
const HEADER_DIGEST_BYTES = FORM.headerDigest ? 4 : 0;
const DATA_DIGEST_BYTES = FORM.dataDigest ? 4 : 0;
/** Of a response, an R2T and an H2CData. */
const HEADER_BYTES = 24;
const TTAG_OFFSET = 10;
const RESPONSE_BYTES = HEADER_BYTES + HEADER_DIGEST_BYTES;

interface Ports {
  readonly nbd: number;
  readonly nvmf: number;
}

/** In the child: serves both, answers "cpu" with its processor time in microseconds. */
async function serve(): Promise<void> {
  const io = await openIo({ level: await chooseLevel("auto") });
  const reactor = new Reactor({ id: 0, io });
  const handOff = (): void => undefined;
  const device = await MallocDevice.open(reactor, {
    name: "cost",
    sizeBytes: SIZE_BYTES,
    instanceId: "00000000-0000-4000-8000-000000000001",
  });
  const any = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const nbd = new NbdService(reactor, { handOff });
  const nbdAddress = await nbd.listen(any);
  nbd.addExport(nbdAddress, device, { name: "v" });
  const nvmf = new NvmfService(reactor, { handOff });
  const nvmfAddress = await nvmf.listen(any);
  const uuid = "01234567-89ab-4def-8123-456789abcdef";
  nvmf.addNamespace(nvmfAddress, device, { nsid: 1, uuid, subsystem: { nqn: NQN } });
  process.on("disconnect", () => process.exit(0));
  process.on("message", () => {
    const { user, system } = process.threadCpuUsage();
    process.send?.(user + system);
  });
  if (nbdAddress.kind === "tcp" && nvmfAddress.kind === "tcp") {
    process.send?.({ nbd: nbdAddress.port, nvmf: nvmfAddress.port });
  }
}

/** Waits for so many bytes, whatever they are. */
class Counter {
  readonly socket: Socket;
  #wanted = 0;
  #done: () => void = () => undefined;
  /** What came, where somebody wants to see it. */
  #kept: Buffer[] | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => {
      this.#wanted -= bytes.length;
      this.#kept?.push(bytes);
      if (this.#wanted === 0) this.#done();
    });
  }

  static open(port: number): Promise<Counter> {
    return new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Counter(socket)));
    });
  }

  /** As `exchange`, and returns the answers. */
  async ask(bytes: Uint8Array, answerBytes: number): Promise<Buffer> {
    const kept: Buffer[] = [];
    this.#kept = kept;
    await this.exchange(bytes, answerBytes);
    this.#kept = null;
    return Buffer.concat(kept);
  }

  exchange(bytes: Uint8Array, answerBytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted += answerBytes;
      this.#done = resolve;
      this.socket.write(bytes);
    });
  }
}

interface Load {
  readonly counter: Counter;
  /** One batch. */
  run(): Promise<void>;
  readonly commands: number;
}

async function nbdLoad(port: number, command: number, bytes: number, depth: number): Promise<Load> {
  const counter = await Counter.open(port);
  const flags = clientFlags(ClientFlag.fixedNewstyle | ClientFlag.noZeroes);
  await counter.exchange(Buffer.alloc(0), INITIAL_NBD_BYTES);
  // The answers to GO: information about the export, and the end.
  const GO_ANSWER_BYTES = 32 + 20;
  await counter.exchange(Buffer.concat([flags, option(Option.go, goData("v"))]), GO_ANSWER_BYTES);
  const isRead = command === Command.read;
  const payload = isRead ? Buffer.alloc(0) : Buffer.alloc(bytes, 7);
  const requests = Array.from({ length: depth }, (_, cookie) => {
    const offset = (cookie * 7919 * bytes) % SIZE_BYTES;
    return Buffer.concat([request({ command, cookie, offset, length: bytes }), payload]);
  });
  const answer = depth * (16 + (isRead ? bytes : 0));
  const all = Buffer.concat(requests);
  return { counter, run: () => counter.exchange(all, answer), commands: depth };
}

async function nvmeQueue(port: number, qid: number, cntlid: number): Promise<Counter> {
  const counter = await Counter.open(port);
  await counter.exchange(icReq({ digests: DIGESTS }), IC_RESP_BYTES);
  const attributes = NO_FLOW_CONTROL;
  const fields = { qid, queueSize: 128, attributes, cntlid, subsystemNqn: NQN, form: FORM };
  await counter.exchange(connectCapsule(fields), RESPONSE_BYTES);
  return counter;
}

async function nvmeLoad(port: number, opcode: number, bytes: number, depth: number): Promise<Load> {
  const counter = await nvmeQueue(port, ++nextQid, 1);
  const isRead = opcode === IoOpcode.read;
  const blocks = bytes / 512;
  const isInCapsule = !isRead && bytes <= 8192;
  const readBytes = RESPONSE_BYTES + bytes + DATA_DIGEST_BYTES;
  const payload = Buffer.alloc(bytes, 7);
  const commands = Array.from({ length: depth }, (_, cid) => {
    const cdw10 = (cid * 7919 * blocks) % (SIZE_BYTES / 512);
    const command = { opcode, cid, nsid: 1, cdw10, cdw12: blocks - 1 };
    const data = isInCapsule ? { data: payload } : { transferBytes: bytes };
    return capsule({ ...command, ...data }, FORM);
  });
  const all = Buffer.concat(commands);
  const answer = depth * (isRead ? readBytes : RESPONSE_BYTES);
  if (isRead || isInCapsule) {
    return { counter, run: () => counter.exchange(all, answer), commands: depth };
  }
  // One H2CData PDU for each command, with the tag of its R2T.
  const pdus = commands.map((_, cid) => h2cData({ cid, ttag: 0, offset: 0 }, payload, FORM));
  const run = async (): Promise<void> => {
    const requests = await counter.ask(all, answer);
    for (let at = 0; at < requests.length; at += RESPONSE_BYTES) {
      const pdu = pdus[requests.readUInt16LE(at + 8)];
      pdu?.writeUInt16LE(requests.readUInt16LE(at + 10), TTAG_OFFSET);
      if (FORM.headerDigest) pdu?.writeUInt32LE(crc32c(pdu, 0, HEADER_BYTES), HEADER_BYTES);
    }
    await counter.exchange(Buffer.concat(pdus), answer);
  };
  return { counter, run, commands: depth };
}

let nextQid = 0;

async function run(): Promise<void> {
  const [depth = 32, durationMs = 1000] = process.argv.slice(2).map(Number);
  const child = fork(import.meta.filename, ["serve"], { execArgv: process.execArgv });
  const next = <T>(): Promise<T> =>
    new Promise((resolve) => child.once("message", resolve as never));
  const ports = await next<Ports>();
  const cpuUs = (): Promise<number> => {
    const answer = next<number>();
    child.send("cpu");
    return answer;
  };
  const admin = await nvmeQueue(ports.nvmf, 0, 0xffff);
  await admin.exchange(propertySet(2, 0x14, 0x460001, FORM), RESPONSE_BYTES);
  const cases: [string, () => Promise<Load>][] = [];
  for (const bytes of [4096, 131072]) {
    const size = `${bytes / 1024} KiB`;
    const { read, write } = Command;
    cases.push([`nbd read ${size}`, () => nbdLoad(ports.nbd, read, bytes, depth)]);
    cases.push([`nvme read ${size}`, () => nvmeLoad(ports.nvmf, IoOpcode.read, bytes, depth)]);
    cases.push([`nbd write ${size}`, () => nbdLoad(ports.nbd, write, bytes, depth)]);
    cases.push([`nvme write ${size}`, () => nvmeLoad(ports.nvmf, IoOpcode.write, bytes, depth)]);
  }
  const only = process.env.ONLY;
  for (const [name, make] of cases) {
    if (only !== undefined && !name.includes(only)) continue;
    const load = await make();
    const found: number[] = [];
    let rate = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const [beforeUs, startMs] = [await cpuUs(), performance.now()];
      let commands = 0;
      while (performance.now() - startMs < durationMs) {
        await load.run();
        commands += load.commands;
      }
      rate = (commands / (performance.now() - startMs)) * US_PER_MS;
      found.push(((await cpuUs()) - beforeUs) / commands);
    }
    load.counter.socket.destroy();
    const sorted = found.toSorted((a, b) => a - b);
    const median = sorted[Math.floor(ROUNDS / 2)] ?? 0;
    const text = `${median.toFixed(2)} us CPU (least ${(sorted[0] ?? 0).toFixed(2)})`;
    process.stdout.write(`${name.padEnd(20)} ${text}  ${rate.toFixed(0)} IOPS\n`);
  }
  child.disconnect();
  process.exitCode = 0;
}

await (process.argv[2] === "serve" ? serve() : run());
