// Tests of both sector ciphers: the vectors of IEEE 1619-2007, and that the two agree.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../util/prng.ts";
import { testSeed } from "../testing/test-seed.ts";
import { probeCapabilities } from "./capabilities.ts";
import { NodeSectorCipher } from "./node-cipher.ts";
import type { CipherMemory, SectorCipher, SectorCipherOptions } from "./sector-cipher.ts";

const MEMORY_BYTES = 256 * 1024;

type MakeCipher = (options: SectorCipherOptions) => SectorCipher;

interface Kind {
  readonly name: string;
  readonly make: MakeCipher;
  newMemory(): CipherMemory;
}

const NODE: Kind = {
  name: "node",
  make: (options) => new NodeSectorCipher(options),
  newMemory: () => ({ address: 0, bytes: new Uint8Array(MEMORY_BYTES) }),
};

const KINDS: readonly Kind[] = [NODE, ...(await openssl())];

async function openssl(): Promise<Kind[]> {
  const { ffi } = await probeCapabilities();
  if (!ffi.available) return [];
  const { EvpSectorCipher } = await import("./evp.ts");
  const { mapShared } = await import("./memory.ts");
  const newMemory = (): CipherMemory => {
    const { address, buffer } = mapShared(MEMORY_BYTES);
    return { address, bytes: new Uint8Array(buffer) };
  };
  return [{ name: "openssl", make: (options) => new EvpSectorCipher(options), newMemory }];
}

const KEY_128 = "2718281828459045235360287471352631415926535897932384626433832795";
const KEY_256 =
  "2718281828459045235360287471352662497757247093699959574966967627" +
  "3141592653589793238462643383279502884197169399375105820974944592";

/** Of a 512-byte data unit that counts 0 to 255 twice: its first and last 16 bytes, encrypted. */
interface Vector {
  readonly key: string;
  readonly tweak: number;
  readonly first: string;
  readonly last: string;
}

// spec: IEEE 1619-2007 Annex B, vectors 4, 10, 12, 13, 14 (the data unit's number grows past 2^32)
const VECTORS: readonly Vector[] = [
  {
    key: KEY_128,
    tweak: 0,
    first: "27a7479befa1d476489f308cd4cfa6e2",
    last: "0a282df920147beabe421ee5319d0568",
  },
  {
    key: KEY_256,
    tweak: 0xff,
    first: "1c3b3a102f770386e4836c99e370cf9b",
    last: "c4f36ffda9fcea70b9c6e693e148c151",
  },
  {
    key: KEY_256,
    tweak: 0xffffff,
    first: "e387aaa58ba483afa7e8eb469778317e",
    last: "2263a1eef52dd6888c309f5a7d712826",
  },
  {
    key: KEY_256,
    tweak: 0xffffffff,
    first: "bf53d2dade78e822a4d949a9bc6766b0",
    last: "4c82f335abb152c4a93411373aaa8220",
  },
  {
    key: KEY_256,
    tweak: 0xffffffffff,
    first: "64497e5a831e4a932c09be3e5393376d",
    last: "d609d273ad5b0d59631c531f6a0a57b9",
  },
];

for (const { name, make, newMemory } of KINDS) {
  test(`${name} cipher encrypts and decrypts as IEEE 1619 says`, () => {
    for (const { key, tweak, first, last } of VECTORS) {
      const cipher = make({ key: Buffer.from(key, "hex"), sectorBytes: 512, tweakStep: 1 });
      const memory = newMemory();
      for (let at = 0; at < 512; at++) memory.bytes[at + 7] = at & 255;
      const plain = memory.bytes.slice(7, 519);
      cipher.encrypt(memory, 7, memory, 1031, tweak, 1);
      const sealed = Buffer.from(memory.bytes.subarray(1031, 1543)).toString("hex");
      strictEqual(sealed.slice(0, 32), first, `tweak ${tweak}`);
      strictEqual(sealed.slice(-32), last, `tweak ${tweak}`);
      deepStrictEqual(memory.bytes.slice(7, 519), plain, "the source stays as it was");
      cipher.decrypt(memory, 1031, tweak, 1);
      deepStrictEqual(memory.bytes.slice(1031, 1543), plain);
      cipher.close();
    }
  });

  test(`${name} cipher is of no use without its key, or outside of the memory`, () => {
    const key = Buffer.from(KEY_256, "hex");
    const cipher = make({ key, sectorBytes: 4096, tweakStep: 8 });
    const memory = newMemory();
    const error = { code: "assertion-failed" };
    throws(() => cipher.decrypt(memory, MEMORY_BYTES - 4095, 0, 1), error);
    throws(() => cipher.encrypt(memory, 0, memory, MEMORY_BYTES - 4096, 0, 2), error);
    throws(() => cipher.decrypt(memory, -1, 0, 1), error);
    cipher.close();
    cipher.close();
    throws(() => cipher.encrypt(memory, 0, memory, 0, 0, 1), error);
    throws(() => make({ key: key.subarray(1), sectorBytes: 512, tweakStep: 1 }), error);
  });
}

test("both ciphers agree on random keys, sectors, places and tweaks", (t) => {
  const prng = new Prng(testSeed(t));
  const memories = KINDS.map((kind) => kind.newMemory());
  for (let round = 0; round < 200; round++) {
    const key = new Uint8Array(prng.pick([32, 64]));
    prng.fill(key);
    const sectorBytes = prng.pick([512, 4096]);
    const tweakStep = prng.pick([1, 8]);
    const count = 1 + prng.below(8);
    const length = count * sectorBytes;
    const plain = new Uint8Array(length);
    prng.fill(plain);
    const from = prng.below(64 * 1024);
    const to = prng.chance(0.3) ? from : 128 * 1024 + prng.below(64 * 1024);
    const tweak = prng.below(2 ** 31) * prng.pick([1, 2 ** 10, 2 ** 22]);
    const sealed = KINDS.map((kind, index) => {
      const memory = memories[index] as CipherMemory; // one per kind
      const cipher = kind.make({ key, sectorBytes, tweakStep });
      memory.bytes.set(plain, from);
      cipher.encrypt(memory, from, memory, to, tweak, count);
      const bytes = Buffer.from(memory.bytes.subarray(to, to + length));
      cipher.decrypt(memory, to, tweak, count);
      const back = Buffer.compare(memory.bytes.subarray(to, to + length), plain);
      strictEqual(back, 0, `${kind.name}, round ${round}`);
      cipher.close();
      return bytes;
    });
    const [first] = sealed as [Buffer];
    for (const other of sealed) strictEqual(Buffer.compare(first, other), 0, `round ${round}`);
  }
});
