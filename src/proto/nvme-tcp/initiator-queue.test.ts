// Tests of the initiator's queue against a controller whose every byte the test writes.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { SegmentList } from "../../block/segments.ts";
import { BUFFER_BYTES_MIN } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { ManualStream } from "../../testing/manual-stream.ts";
import { crc32c } from "../../util/crc32c.ts";
import { IoOpcode, SglType } from "../nvme/constants.ts";
import { encodeCqe } from "../nvme/cqe.ts";
import { decodeSqe, Sqe } from "../nvme/sqe.ts";
import { NvmeStatus } from "../nvme/status.ts";
import { ReceiveWindow } from "../stream/receive-window.ts";
import {
  decodeCommonHeader,
  decodeTransfer,
  FatalError,
  PduFlag,
  PduHeader,
  PduType,
  TransferFields,
} from "./common.ts";
import { CapsuleBank } from "./initiator-bank.ts";
import { Direction, HostCommand } from "./initiator-command.ts";
import { InitiatorQueue } from "./initiator-queue.ts";
import { encodeCapsuleResp, ENTRY_OFFSET } from "./pdu-capsule.ts";
import { encodeC2hData } from "./pdu-data.ts";
import { encodeIcResp } from "./pdu-ic.ts";
import { encodeR2t } from "./pdu-r2t.ts";
import { decodeTermReq } from "./pdu-term-req.ts";

const DATA_BYTES = 20_000;

interface Options {
  readonly digests?: number;
  readonly alignment?: number;
  readonly maxH2cDataBytes?: number;
}

interface Pdu {
  readonly header: PduHeader;
  readonly bytes: Buffer;
}

/** A queue and its scripted controller. */
class Rig {
  readonly stream = new ManualStream();
  readonly queue: InitiatorQueue;
  readonly ended: HostCommand[] = [];
  isClosed = false;
  readonly #reactor: Reactor;
  readonly #digests: number;
  #seen = 0;

  constructor(reactor: Reactor, { digests = 0 }: Options = {}) {
    this.#reactor = reactor;
    this.#digests = digests;
    const buffer = reactor.buffers.acquire(BUFFER_BYTES_MIN);
    ok(buffer !== null);
    this.queue = new InitiatorQueue({
      host: {
        reactor,
        ready: () => undefined,
        ended: (command) => this.ended.push(command),
        failing: () => undefined,
        closed: () => {
          this.isClosed = true;
        },
      },
      qid: 1,
      entries: 8,
      stream: this.stream,
      window: new ReceiveWindow(reactor.buffers, buffer),
      bank: new CapsuleBank(reactor.io),
      headerDigest: (digests & 1) !== 0,
      dataDigest: (digests & 2) !== 0,
    });
    this.queue.start();
  }

  async initialize(options: Options = {}): Promise<void> {
    await this.settle();
    strictEqual(this.take().header.type, PduType.icReq);
    const { alignment = 0, maxH2cDataBytes = 4096 } = options;
    await this.say((view) =>
      encodeIcResp(view, 0, { version: 0, alignment, digests: this.#digests, maxH2cDataBytes }),
    );
    ok(this.queue.isUp);
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) {
      if (this.stream.isSending) this.stream.endSend();
      await new Promise<void>((resolve) => void this.#reactor.clock.startTimer(1, resolve));
    }
  }

  /** The next PDU that the queue has sent. */
  take(): Pdu {
    const { sent } = this.stream;
    const view = new DataView(sent.buffer, sent.byteOffset, sent.length);
    const header = new PduHeader();
    ok(sent.length >= this.#seen + 8, "a PDU was sent");
    decodeCommonHeader(view, this.#seen, header);
    const bytes = sent.subarray(this.#seen, this.#seen + header.plen);
    strictEqual(bytes.length, header.plen);
    this.#seen += header.plen;
    if ((header.flags & PduFlag.headerDigest) !== 0) {
      strictEqual(bytes.readUInt32LE(header.hlen), crc32c(bytes, 0, header.hlen));
    }
    if ((header.flags & PduFlag.dataDigest) !== 0 && header.pdo > 0) {
      const end = header.plen - 4;
      strictEqual(bytes.readUInt32LE(end), crc32c(bytes, header.pdo, end - header.pdo));
    }
    return { header, bytes };
  }

  get hasMore(): boolean {
    return this.#seen < this.stream.sent.length;
  }

  /** A PDU of the controller's; its header's digest is made here. */
  async say(
    encode: (view: DataView) => number,
    data: Uint8Array = new Uint8Array(0),
  ): Promise<void> {
    const bytes = Buffer.alloc(512);
    const end = encode(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
    if ((bytes.readUInt8(1) & PduFlag.headerDigest) !== 0) {
      bytes.writeUInt32LE(crc32c(bytes, 0, 24), 24);
    }
    let left = Buffer.concat([bytes.subarray(0, end), data]);
    while (left.length > 0) {
      ok(this.stream.isReceiving);
      const length = Math.min(left.length, this.stream.receiveRoom, 1500);
      this.stream.deliver(left.subarray(0, length));
      left = left.subarray(length);
    }
    await this.settle();
  }

  respond(command: HostCommand, status = 0): Promise<void> {
    return this.say((view) => {
      const length = encodeCapsuleResp(view, 0, (this.#digests & 1) !== 0);
      encodeCqe(view, ENTRY_OFFSET, 7, 8, 0, 0, command.cookie, status);
      return length;
    });
  }

  r2t(command: HostCommand, tag: number, offset: number, length: number): Promise<void> {
    return this.say((view) =>
      encodeR2t(view, 0, (this.#digests & 1) !== 0, command.cookie, tag, offset, length),
    );
  }

  data(
    command: HostCommand,
    offset: number,
    bytes: Uint8Array,
    { flags = 0, digest }: { readonly flags?: number; readonly digest?: number } = {},
  ): Promise<void> {
    const tail = Buffer.alloc((this.#digests & 2) === 0 ? 0 : 4);
    if (tail.length > 0) tail.writeUInt32LE(digest ?? crc32c(bytes, 0, bytes.length));
    const all = flags | this.#digests;
    return this.say(
      (view) => encodeC2hData(view, 0, all, 64, command.cookie, offset, bytes.length),
      Buffer.concat([bytes, tail]),
    );
  }

  /** A command with memory of its own, of DATA_BYTES unless said otherwise. */
  command(direction: Direction, length = DATA_BYTES): { command: HostCommand; bytes: Uint8Array } {
    const slab = this.#reactor.io.slabs.allocate(32 * 1024);
    const segments = new SegmentList();
    // In pieces, so that data goes over their boundaries.
    for (let at = 0; at < length; at += 3000) {
      segments.push(slab.id, 100 + at, Math.min(3000, length - at));
    }
    const command = new HostCommand();
    const isRead = direction === Direction.toHost;
    command.prepare(isRead ? IoOpcode.read : IoOpcode.write, 1);
    command.setData(direction, segments, 0, length);
    const bytes = slab.bytes.subarray(100, 100 + length);
    if (!isRead) for (let at = 0; at < length; at++) bytes[at] = at % 251;
    return { command, bytes };
  }

  async finish(): Promise<void> {
    this.queue.fail("the test is over");
    if (this.stream.isReceiving) this.stream.endReceive(0);
    await this.settle();
    ok(this.isClosed);
    while (this.queue.takeCommands() !== null);
    this.queue.bank.release();
  }
}

function testQueue(title: string, options: Options, body: (rig: Rig) => Promise<void>): void {
  test(title, () =>
    withReactor("fake", async ({ reactor }) => {
      const rig = new Rig(reactor, options);
      await rig.initialize(options);
      await body(rig);
      await rig.finish();
    }),
  );
}

const fill = (from: number, to: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: to - from }, (_, index) => (from + index) % 241));

for (const digests of [0, 1, 2, 3]) {
  testQueue(
    `InitiatorQueue sends short data in the capsule, aligned, digests ${digests}`,
    { digests, alignment: 31 },
    async (rig) => {
      const { command, bytes } = rig.command(Direction.toController, 4000);
      rig.queue.submit(command);
      await rig.settle();
      const { header, bytes: pdu } = rig.take();
      strictEqual(header.type, PduType.capsuleCmd);
      strictEqual(header.pdo, 128);
      deepStrictEqual(new Uint8Array(pdu.subarray(128, 128 + 4000)), new Uint8Array(bytes));
      const sqe = new Sqe();
      decodeSqe(new DataView(pdu.buffer, pdu.byteOffset, pdu.length), ENTRY_OFFSET, sqe);
      strictEqual(sqe.sglType, SglType.dataBlockOffset);
      strictEqual(sqe.sglLength, 4000);
      await rig.respond(command, NvmeStatus.writeFault);
      deepStrictEqual(rig.ended, [command]);
      strictEqual(command.status, NvmeStatus.writeFault);
      strictEqual(command.dw0, 7);
    },
  );

  testQueue(
    `InitiatorQueue sends long data as it is asked for, in any order, digests ${digests}`,
    { digests, maxH2cDataBytes: 4096 },
    async (rig) => {
      const { command, bytes } = rig.command(Direction.toController);
      rig.queue.submit(command);
      await rig.settle();
      strictEqual(rig.take().header.pdo, 0);
      const half = 9000;
      const found = Buffer.alloc(DATA_BYTES);
      await rig.r2t(command, 5, half, DATA_BYTES - half);
      await rig.r2t(command, 6, 0, half);
      const lasts: number[] = [];
      while (rig.hasMore) {
        const { header, bytes: pdu } = rig.take();
        strictEqual(header.type, PduType.h2cData);
        const fields = new TransferFields();
        decodeTransfer(new DataView(pdu.buffer, pdu.byteOffset, pdu.length), 0, fields);
        ok(fields.lengthBytes <= 4096);
        strictEqual(fields.ttag, fields.offset >= half ? 5 : 6);
        pdu.copy(found, fields.offset, header.pdo, header.pdo + fields.lengthBytes);
        if ((header.flags & PduFlag.last) !== 0) lasts.push(fields.ttag);
      }
      deepStrictEqual(lasts, [5, 6]);
      deepStrictEqual(new Uint8Array(found), new Uint8Array(bytes));
      await rig.respond(command);
      deepStrictEqual(rig.ended, [command]);
    },
  );

  testQueue(
    `InitiatorQueue takes data in any order, ended by a response or by success, digests ${digests}`,
    { digests },
    async (rig) => {
      for (const isSuccess of [false, true]) {
        const { command, bytes } = rig.command(Direction.toHost);
        rig.queue.submit(command);
        await rig.settle();
        rig.take();
        await rig.data(command, 7000, fill(7000, DATA_BYTES));
        const flags = PduFlag.last | (isSuccess ? PduFlag.success : 0);
        await rig.data(command, 0, fill(0, 7000), { flags });
        strictEqual(rig.ended.includes(command), isSuccess);
        if (!isSuccess) await rig.respond(command);
        ok(rig.ended.includes(command));
        strictEqual(command.status, 0);
        deepStrictEqual(new Uint8Array(bytes), new Uint8Array(fill(0, DATA_BYTES)));
      }
    },
  );
}

testQueue(
  "InitiatorQueue fails a read whose data is damaged, and goes on",
  { digests: 2 },
  async (rig) => {
    const { command } = rig.command(Direction.toHost);
    rig.queue.submit(command);
    await rig.settle();
    const flags = PduFlag.last | PduFlag.success;
    await rig.data(command, 0, fill(0, DATA_BYTES), { flags, digest: 1 });
    deepStrictEqual(rig.ended, [command]);
    strictEqual(command.status, NvmeStatus.transientTransportError);
    ok(rig.queue.isUp);
  },
);

testQueue("InitiatorQueue drops what a write that has failed was asked for", {}, async (rig) => {
  const { command } = rig.command(Direction.toController);
  rig.queue.submit(command);
  await rig.settle();
  rig.take();
  rig.stream.sendsByItself = false;
  await rig.respond(command, NvmeStatus.internalError);
  deepStrictEqual(rig.ended, [command]);
  strictEqual(rig.hasMore, false);
});

interface Violation {
  readonly what: string;
  readonly fatalError: number;
  readonly says: RegExp;
  readonly say: (rig: Rig, read: HostCommand, write: HostCommand) => Promise<void>;
}

const VIOLATIONS: readonly Violation[] = [
  {
    what: "data behind the end of a read",
    fatalError: FatalError.dataOutOfRange,
    says: /outside/,
    say: (rig, read) => rig.data(read, DATA_BYTES - 10, fill(0, 11)),
  },
  {
    what: "an R2T behind the end of a write",
    fatalError: FatalError.dataOutOfRange,
    says: /R2T/,
    say: (rig, _read, write) => rig.r2t(write, 1, DATA_BYTES - 1, 2),
  },
  {
    what: "a second R2T for the same data",
    fatalError: FatalError.dataOutOfRange,
    says: /R2T/,
    say: async (rig, _read, write) => {
      await rig.r2t(write, 1, 0, 4096);
      while (rig.hasMore) rig.take();
      await rig.r2t(write, 2, 4000, 4096);
    },
  },
  {
    what: "an R2T for a read",
    fatalError: FatalError.invalidHeaderField,
    says: /no command/,
    say: (rig, read) => rig.r2t(read, 1, 0, 4096),
  },
  {
    what: "the end of a read before its data",
    fatalError: FatalError.sequence,
    says: /before all/,
    say: (rig, read) => rig.respond(read),
  },
  {
    what: "a second ICResp",
    fatalError: FatalError.sequence,
    says: /type 1/,
    say: (rig) =>
      rig.say((view) =>
        encodeIcResp(view, 0, { version: 0, alignment: 0, digests: 0, maxH2cDataBytes: 4096 }),
      ),
  },
];

for (const { what, fatalError, says, say } of VIOLATIONS) {
  test(`InitiatorQueue tells the controller of ${what}, and ends`, () =>
    withReactor("fake", async ({ reactor }) => {
      const rig = new Rig(reactor);
      await rig.initialize();
      const { command: read } = rig.command(Direction.toHost);
      const { command: write } = rig.command(Direction.toController);
      rig.queue.submit(read);
      rig.queue.submit(write);
      await rig.settle();
      rig.take();
      rig.take();
      await say(rig, read, write);
      const { header, bytes } = rig.take();
      strictEqual(header.type, PduType.h2cTermReq);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      strictEqual(decodeTermReq(view, 0).fatalError, fatalError);
      match(rig.queue.end.message, says);
      strictEqual(rig.queue.end.code, "protocol");
      deepStrictEqual(rig.ended, []);
      await rig.finish();
    }));
}
