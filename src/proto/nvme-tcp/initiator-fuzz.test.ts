// Fuzz of the reader of a controller's PDUs: any PDUs in any split never throw, and write to
// nothing but the memory of the reads that they are for.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SegmentList } from "../../block/segments.ts";
import { BUFFER_BYTES_MIN, type PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { encodeCqe } from "../nvme/cqe.ts";
import { CommandTable } from "../stream/command-table.ts";
import { ReceiveWindow } from "../stream/receive-window.ts";
import { Direction, HostCommand } from "./initiator-command.ts";
import { ResponseReader } from "./initiator-reader.ts";
import { encodeCapsuleResp, ENTRY_OFFSET } from "./pdu-capsule.ts";
import { encodeC2hData } from "./pdu-data.ts";
import { encodeIcResp } from "./pdu-ic.ts";
import { encodeR2t } from "./pdu-r2t.ts";

const RUNS = process.env.PENSTOCK_LONG === "1" ? 20_000 : 500;
const COMMANDS = 4;
/** Of each command; the memory between them is nobody's. */
const COMMAND_BYTES = 512;
const STRIDE_BYTES = 1024;
const NOBODYS = 0xee;

/** What a controller may say; the number is that of a command. */
interface Saying {
  readonly kind: "data" | "response" | "r2t";
  readonly command: number;
  readonly offset: number;
  readonly lengthBytes: number;
  readonly flags: number;
  /** Changes of single bytes. */
  readonly changes: readonly { readonly at: number; readonly value: number }[];
}

const change = fc.record({ at: fc.nat(40), value: fc.nat(255) });
/** Mostly one value, which is right more often than not; sometimes any of the others. */
function mostly<T>(usual: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { arbitrary: fc.constant(usual), weight: 6 },
    { arbitrary: fc.constantFrom(...others), weight: 1 },
  );
}

const anySaying: fc.Arbitrary<Saying> = fc.record({
  kind: fc.constantFrom("data", "data", "data", "response", "response", "r2t"),
  command: fc.nat(COMMANDS),
  offset: mostly(0, 256, 500, 512, 0xffff_ff00),
  lengthBytes: mostly(512, 0, 12, 256, 600),
  flags: mostly(12, 0, 4, 8),
  changes: mostly<Saying["changes"]>([], [{ at: 2, value: 0 }], [{ at: 0, value: 0x55 }]),
});
const wildSaying = fc
  .record({ saying: anySaying, changes: fc.array(change, { minLength: 1, maxLength: 2 }) })
  .map(({ saying, changes }): Saying => ({ ...saying, changes }));

function bytesOf(saying: Saying, cid: number): Uint8Array {
  const { kind, offset, lengthBytes, flags } = saying;
  const bytes = new Uint8Array(1024).fill(0x55);
  const view = new DataView(bytes.buffer);
  let end: number;
  if (kind === "data") {
    end = encodeC2hData(view, 0, flags, 4, cid, offset, lengthBytes) + lengthBytes;
  } else if (kind === "r2t") {
    end = encodeR2t(view, 0, false, cid, 3, offset, lengthBytes);
  } else {
    end = encodeCapsuleResp(view, 0, false);
    encodeCqe(view, ENTRY_OFFSET, 0, 0, 0, 0, cid, flags);
  }
  for (const { at, value } of saying.changes) bytes[at] = value;
  return bytes.subarray(0, end);
}

class Scene {
  readonly memory: PoolBuffer;
  readonly window: ReceiveWindow;
  readonly table = new CommandTable<HostCommand>(COMMANDS, 0xffff);
  readonly commands: readonly HostCommand[];
  readonly reader: ResponseReader;
  answered = 0;

  constructor({ io, buffers }: Reactor) {
    this.memory = buffers.acquire(COMMANDS * STRIDE_BYTES) as PoolBuffer; // there is plenty
    this.window = new ReceiveWindow(buffers, buffers.acquire(BUFFER_BYTES_MIN) as PoolBuffer);
    const { slab, offset } = this.memory;
    slab.bytes.fill(NOBODYS, offset, offset + this.memory.lengthBytes);
    this.commands = Array.from({ length: COMMANDS }, (_, index) => {
      const command = new HostCommand();
      const segments = new SegmentList();
      segments.push(slab.id, offset + index * STRIDE_BYTES, COMMAND_BYTES);
      // The last one is a write.
      const isRead = index < COMMANDS - 1;
      const direction = isRead ? Direction.toHost : Direction.toController;
      command.setData(direction, segments, 0, COMMAND_BYTES);
      command.beginAttempt();
      this.table.add(command);
      return command;
    });
    this.reader = new ResponseReader({
      slabs: io.slabs,
      window: this.window,
      commands: this.table,
      digests: 0,
      transfersMax: 1,
      sink: {
        initialized: () => undefined,
        answered: (command) => {
          this.answered++;
          this.table.remove(command);
        },
        requested: (command) => strictEqual(command.direction, Direction.toController),
      },
    });
  }

  /** @returns why the controller is not believed any more, or null */
  feed(bytes: Uint8Array, splitBytes: number): string | null {
    for (let from = 0; from < bytes.length; from += splitBytes) {
      const piece = bytes.subarray(from, from + splitBytes);
      this.window.prepare(this.reader.neededBytes + piece.length);
      const { slab, offset } = this.window.buffer;
      slab.bytes.set(piece, offset + this.window.end);
      this.window.received(piece.length);
      const failure = this.reader.read();
      if (failure !== null) return failure;
    }
    return null;
  }

  close(): void {
    this.memory.release();
    this.window.release();
  }
}

function icResp(): Uint8Array {
  const bytes = new Uint8Array(128);
  const fields = { version: 0, alignment: 0, digests: 0, maxH2cDataBytes: 65_536 };
  encodeIcResp(new DataView(bytes.buffer), 0, fields);
  return bytes;
}

test("ResponseReader takes whatever a controller says, and keeps to its commands' memory", () =>
  withReactor("fake", async ({ reactor }) => {
    let answered = 0;
    const any = fc.oneof({ arbitrary: anySaying, weight: 9 }, { arbitrary: wildSaying, weight: 1 });
    const script = fc.array(any, { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(script, fc.constantFrom(1, 7, 24, 333, 2000), (sayings, splitBytes) => {
        const scene = new Scene(reactor);
        const cids = [...scene.commands.map(({ cookie }) => cookie), 0x7777];
        strictEqual(scene.feed(icResp(), splitBytes), null);
        for (const saying of sayings) {
          const bytes = bytesOf(saying, cids[saying.command] ?? 0);
          if (scene.feed(bytes, splitBytes) !== null) break;
        }
        const { slab, offset, lengthBytes } = scene.memory;
        const memory = slab.bytes.slice(offset, offset + lengthBytes);
        for (let index = 0; index < COMMANDS; index++) {
          // The write's own memory is only read.
          const ownBytes = index < COMMANDS - 1 ? COMMAND_BYTES : 0;
          const nobodys = memory.subarray(
            index * STRIDE_BYTES + ownBytes,
            (index + 1) * STRIDE_BYTES,
          );
          deepStrictEqual(new Set(nobodys), new Set([NOBODYS]));
        }
        strictEqual(scene.table.count, COMMANDS - scene.answered);
        answered += scene.answered;
        scene.close();
      }),
      { numRuns: RUNS },
    );
    ok(answered > RUNS / 10, "much of what is said makes sense");
  }));
