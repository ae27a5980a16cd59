/** The checker of the crash tests has to find what it is there to find. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Prng } from "../util/prng.ts";
import { VerifiedWriter } from "./verified-writer.ts";

const LENGTH_BYTES = 64 * 1024;
const WRITE_COUNT = 200;

/** A disk in memory that loses the connection after some writes. */
class FakeClient {
  readonly disk = Buffer.alloc(LENGTH_BYTES);
  failure: Error | undefined;
  #writesLeft = WRITE_COUNT;

  async write(offset: number, payload: Uint8Array): Promise<void> {
    this.#writesLeft -= 1;
    if (this.#writesLeft <= 0) {
      // The last one is torn: half of it is there, and no answer comes.
      this.disk.set(payload.subarray(0, payload.length / 2), offset);
      this.failure = new Error("gone");
      throw this.failure;
    }
    this.disk.set(payload, offset);
  }

  async flush(): Promise<void> {}
}

async function written(): Promise<{ writer: VerifiedWriter; disk: Buffer }> {
  const writer = new VerifiedWriter({ lengthBytes: LENGTH_BYTES, prng: new Prng(1), depth: 1 });
  const client = new FakeClient();
  await writer.run(client);
  assert.equal(writer.acknowledgedCount, WRITE_COUNT - 1);
  return { writer, disk: client.disk };
}

test("check accepts what was acknowledged, and a torn write in flight", async () => {
  const { writer, disk } = await written();
  writer.check(disk);
  // Once seen it has to stay.
  writer.check(disk);
});

test("check finds a lost, a changed and a misplaced sector", async () => {
  const lost = await written();
  lost.disk.fill(0, 4096, 4096 + 512);
  assert.throws(() => lost.writer.check(lost.disk), /sector at 4096 holds write 0/);

  const changed = await written();
  changed.disk[8192 + 100] = (changed.disk[8192 + 100] ?? 0) ^ 1;
  assert.throws(() => changed.writer.check(changed.disk), /sector at 8192 .* torn or changed/);

  const misplaced = await written();
  misplaced.disk.copyWithin(512, 1024, 1536);
  assert.throws(() => misplaced.writer.check(misplaced.disk), /sector at 512 /);
});

test("check finds an older write that came back", async () => {
  const { writer, disk } = await written();
  const before = Buffer.from(disk);
  writer.check(disk);
  await writer.run(continuing(disk));
  assert.throws(() => writer.check(before), /holds write/);
});

function continuing(disk: Buffer): FakeClient {
  const client = new FakeClient();
  client.disk.set(disk);
  return client;
}
