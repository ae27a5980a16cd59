// A mirror behind an NBD share while a child hangs: the share's own memory is what the hung child
// still uses, receive buffers, large payloads and the parts of long requests alike.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { AwaitedRequest } from "../block/awaited-request.ts";
import { Operation } from "../block/operation.ts";
import type { Request } from "../block/request.ts";
import { Status } from "../block/status.ts";
import type { MallocDevice } from "../devices/malloc.ts";
import { withReactor } from "../reactor/test-reactor.ts";
import { openMirror, sleepOn, statesOf } from "../testing/mirror-rig.ts";
import { NbdRawClient } from "../testing/nbd-raw-client.ts";
import { HANG, PASS, ScriptedFilter, type Turn } from "../testing/scripted-filter.ts";
import { openMalloc, SOCKET_LEVELS, serveExport, stopExport } from "../testing/served-export.ts";
import { Prng } from "../util/prng.ts";

const KIB = 1024;
const SIZE_BYTES = 16 * 1024 * KIB;
/** Used where it was received; with a buffer of its own; in parts; off the block grid. */
const REQUESTS: readonly (readonly [offset: number, length: number])[] = [
  [0, 4 * KIB],
  [64 * KIB, 256 * KIB],
  [1024 * KIB, 3 * 1024 * KIB],
  [5000 * KIB + 100, 3000],
];
const OTHERS_AT = 8 * 1024 * KIB;
const OTHERS = 2000;

const hangOn =
  (operation: Operation) =>
  (request: Request): Turn =>
    request.operation === operation ? HANG : PASS;

/** Has something happen just before its answers are passed on. */
class InterruptingFilter extends ScriptedFilter {
  onAnswer: () => void = () => undefined;

  override passed(request: Request, status: Status): void {
    this.onAnswer();
    super.passed(request, status);
  }
}

async function contentOf(medium: MallocDevice): Promise<Buffer> {
  const { slabs } = medium.reactor.io;
  const memory = slabs.allocate(SIZE_BYTES);
  const step = medium.info.maxTransferBytes;
  for (let offset = 0; offset < SIZE_BYTES; offset += step) {
    const request = new AwaitedRequest();
    request.segments.push(memory.id, offset, step);
    const read = { operation: Operation.read, offset, length: step };
    strictEqual(await request.run(medium, read), Status.ok);
  }
  const copy = Buffer.from(memory.bytes.subarray(0, SIZE_BYTES));
  slabs.release(memory);
  return copy;
}

function noise(random: Prng, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  random.fill(bytes);
  return bytes;
}

for (const level of SOCKET_LEVELS) {
  test(`at ${level}, a hung child keeps what it was given, and all others get on`, () =>
    withReactor(level, async (place) => {
      const { reactor, seed } = place;
      const random = new Prng(seed);
      const heldBefore = reactor.buffers.heldBytes;
      const media = [await openMalloc(place, SIZE_BYTES), await openMalloc(place, SIZE_BYTES)];
      const [healthy, hung] = media.map((medium) => new ScriptedFilter(medium));
      ok(healthy !== undefined && hung !== undefined);
      const mirror = await openMirror(reactor, [healthy, hung], { childTimeoutMs: 100 });
      const served = await serveExport(place, mirror);
      const client = await NbdRawClient.open(served.uri);
      const model = Buffer.alloc(SIZE_BYTES);
      const write = (offset: number, bytes: Buffer): Promise<void> => {
        bytes.copy(model, offset);
        return client.write(offset, bytes);
      };
      await write(0, noise(random, 6 * 1024 * KIB));
      // Long and unaligned requests go on step by step: the child hangs at the first of each.
      hung.script = hangOn(Operation.write);
      await Promise.all(REQUESTS.map(([offset, length]) => write(offset, noise(random, length))));
      deepStrictEqual(statesOf(mirror), ["in-sync", "timeout"]);
      ok(mirror.orphans.count > 0 && mirror.orphans.bytes > 0);
      const given = hung.held.map(({ offset, length }) => ({
        offset,
        bytes: Buffer.from(model.subarray(offset, offset + length)),
      }));
      for (let index = 0; index < OTHERS; index += 8) {
        const writes = Array.from({ length: 8 }, (_, lane) => {
          const offset = OTHERS_AT + ((index + lane) % 64) * 16 * KIB;
          return write(offset, noise(random, 4 * KIB));
        });
        await Promise.all(writes);
      }
      hung.letGo();
      await sleepOn(reactor, 5);
      deepStrictEqual(mirror.describe().orphans, { count: 0, bytes: 0 });
      const [first, second] = await Promise.all(media.map(contentOf));
      ok(first?.equals(model), "the child in sync holds all that was written");
      for (const { offset, bytes } of given) {
        const found = second?.subarray(offset, offset + bytes.length);
        ok(found?.equals(bytes), `the hung child holds what it was given at ${offset}`);
      }
      ok(second?.subarray(OTHERS_AT).every((byte) => byte === 0));
      ok((await client.read(0, 6 * 1024 * KIB)).equals(model.subarray(0, 6 * 1024 * KIB)));
      await client.disconnect();
      await stopExport(served);
      strictEqual(reactor.buffers.heldBytes, heldBefore);
    }));

  test(`at ${level}, reads go on in other memory, which late reads do not touch`, () =>
    withReactor(level, async (place) => {
      const { reactor, seed } = place;
      const random = new Prng(seed);
      const heldBefore = reactor.buffers.heldBytes;
      const media = [await openMalloc(place, SIZE_BYTES), await openMalloc(place, SIZE_BYTES)];
      const [first, second] = media;
      ok(first !== undefined && second !== undefined);
      const hung = new ScriptedFilter(second);
      const healthy = new InterruptingFilter(first);
      const options = { childTimeoutMs: 100, readPolicy: "least-loaded" } as const;
      const mirror = await openMirror(reactor, [healthy, hung], options);
      const served = await serveExport(place, mirror);
      const client = await NbdRawClient.open(served.uri);
      const model = noise(random, SIZE_BYTES);
      await client.write(0, model);
      hung.script = hangOn(Operation.read);
      let lateReads = 0;
      healthy.onAnswer = () => {
        if (statesOf(mirror)[1] === "in-sync" || hung.held.length === 0) return;
        // What the hung child finds by now is something else; and the answer is not yet sent.
        const zero = { operation: Operation.writeZeroes, length: SIZE_BYTES };
        void new AwaitedRequest().run(second, zero);
        lateReads += hung.held.length;
        hung.letGo();
      };
      const check = async (offset: number, length: number): Promise<void> => {
        const found = await client.read(offset, length);
        ok(found.equals(model.subarray(offset, offset + length)), `${length} bytes at ${offset}`);
      };
      const twice = [...REQUESTS, ...REQUESTS];
      await Promise.all(twice.map(([offset, length]) => check(offset, length)));
      deepStrictEqual(statesOf(mirror), ["in-sync", "timeout"]);
      ok(lateReads > 0);
      deepStrictEqual(mirror.describe().orphans, { count: 0, bytes: 0 });
      await client.disconnect();
      await stopExport(served);
      strictEqual(reactor.buffers.heldBytes, heldBefore);
    }));
}
