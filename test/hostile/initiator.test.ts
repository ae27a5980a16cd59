/**
 * Servers that mean harm, or are broken: our initiator loses its connection to them and nothing
 * else. Requests fail when the ride-out is over, and memory stays what it was.
 */

import { ok, strictEqual } from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";

import { AwaitedRequest } from "../../src/block/awaited-request.ts";
import { Operation } from "../../src/block/operation.ts";
import { Status } from "../../src/block/status.ts";
import { NbdDevice } from "../../src/devices/nbd.ts";
import { DIRECTORY } from "../../src/proto/nbd/handshake-fixture.ts";
import { HandshakeTarget } from "../../src/proto/nbd/handshake-target.ts";
import { TEST_LEVELS, withReactor } from "../../src/reactor/test-reactor.ts";
import { openingId } from "../../src/testing/nbd-pair.ts";
import { makeTempDir } from "../../src/testing/temp-dir.ts";
import { Prng } from "../../src/util/prng.ts";

const LEVELS = TEST_LEVELS.filter((level) => level !== "fake");
const BLOCK = 4096;
const GUARD = 0xee;

/** Speaks NBD until the handshake is over, then answers each batch of requests with `answer`. */
function hostileServer(path: string, answer: (requests: Buffer) => Buffer | null): Promise<Server> {
  const server = createServer((socket) => serve(socket, answer));
  return new Promise((resolve) => {
    server.listen(path, () => resolve(server));
  });
}

function serve(socket: Socket, answer: (requests: Buffer) => Buffer | null): void {
  const handshake = new HandshakeTarget({ directory: DIRECTORY });
  const flush = (): void => {
    socket.write(Buffer.from(handshake.output.written));
    handshake.output.clear();
  };
  socket.on("error", () => undefined);
  handshake.greet();
  flush();
  socket.on("data", (bytes: Buffer) => {
    let at = 0;
    if (handshake.outcome.kind !== "transmission") {
      at = handshake.feed(bytes, 0, bytes.length);
      flush();
    }
    if (handshake.outcome.kind !== "transmission" || at === bytes.length) return;
    const said = answer(bytes.subarray(at));
    if (said === null) socket.destroy();
    else socket.write(said);
  });
}

/** An extended chunk header for the first request of a batch, with what the case wants in it. */
function chunk(requests: Buffer, type: number, flags: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(32);
  header.writeUInt32BE(0x6e8a_278c, 0);
  header.writeUInt16BE(flags, 4);
  header.writeUInt16BE(type, 6);
  requests.copy(header, 8, 8, 24);
  header.writeUInt32BE(payload.length, 28);
  return Buffer.concat([header, payload]);
}

function dataPayload(offset: number, length: number): Buffer {
  const payload = Buffer.alloc(8 + length, 0x41);
  payload.writeBigUInt64BE(BigInt(offset), 0);
  return payload;
}

function errorPayload(error: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt32BE(error, 0);
  return payload;
}

const prng = new Prng("hostile servers");

function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  prng.fill(bytes);
  return bytes;
}

const CASES: readonly (readonly [title: string, answer: (requests: Buffer) => Buffer | null])[] = [
  ["noise", () => noise(1000)],
  ["nothing but the end", () => null],
  ["half a header", (requests) => chunk(requests, 1, 0, Buffer.alloc(0)).subarray(0, 7)],
  ["data in front of the range", (requests) => chunk(requests, 1, 1, dataPayload(0, BLOCK))],
  ["data far behind", (requests) => chunk(requests, 1, 1, dataPayload(2 ** 40, BLOCK))],
  ["more data than asked", (requests) => chunk(requests, 1, 1, dataPayload(BLOCK, 2 * BLOCK))],
  ["success without data", (requests) => chunk(requests, 0, 1, Buffer.alloc(0))],
  [
    "the same data twice",
    (requests) => {
      const once = chunk(requests, 1, 0, dataPayload(BLOCK, 100));
      return Buffer.concat([once, once]);
    },
  ],
  [
    "another's answer",
    (requests) => {
      const said = chunk(requests, 0, 1, Buffer.alloc(0));
      said.writeUInt32BE(0x7fff_ff00, 12);
      return said;
    },
  ],
  // An answer, but none to go on with: it must not begin the ride-out anew each time.
  ["a shutdown without end", (requests) => chunk(requests, 0x8001, 1, errorPayload(108))],
  ["an endless error", (requests) => chunk(requests, 0x8001, 1, Buffer.alloc(60_000))],
];

for (const level of LEVELS) {
  for (const [title, answer] of CASES) {
    test(`an initiator survives ${title}, at ${level}`, async (t) => {
      const path = join(makeTempDir(t), "socket");
      const server = await hostileServer(path, answer);
      await withReactor(level, async ({ reactor }) => {
        const device = await NbdDevice.open(reactor, {
          address: { kind: "unix", path },
          exportName: "vol1",
          name: "nbd+unix:///vol1",
          openingId: openingId(),
          timeoutMs: 200,
          rideOutMs: 400,
        });
        const slab = reactor.io.slabs.allocate(4 * BLOCK);
        slab.bytes.fill(GUARD);
        const request = new AwaitedRequest();
        request.segments.push(slab.id, BLOCK, BLOCK);
        const range = { operation: Operation.read, offset: BLOCK, length: BLOCK };
        const status = await request.run(device, range);
        ok(status === Status.pathLost || status === Status.timeout, `status ${status}`);
        const isOutside = (at: number): boolean => at < BLOCK || at >= 2 * BLOCK;
        ok(slab.bytes.every((byte, at) => !isOutside(at) || byte === GUARD));
        await device.close();
        strictEqual(device.condition.link, "closed");
      });
      server.close();
    });
  }
}
