// The codec of send streams: golden bytes, any split, every byte flipped, forged records.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc32c } from "../../util/crc32c.ts";
import { PenstockError } from "../../util/errors.ts";
import { Prng } from "../../util/prng.ts";
import { StreamEncoder } from "./stream-encoder.ts";
import {
  encodeEnd,
  encodeHeader,
  HEAD_BYTES,
  type RecordHead,
  type StreamHeader,
  writeHead,
} from "./stream-format.ts";
import { StreamParser, type StreamRecord } from "./stream-parser.ts";

const BLOCK = 4096;
const HEADER: Omit<StreamHeader, "features"> = {
  uuid: "11111111-2222-4333-8444-555555555555",
  baseUuid: "",
  sizeBytes: 10 * BLOCK + 512,
  createdMs: 1_800_000_000_000,
  startBlock: 0,
  name: "vol1@monday",
};

async function records(stream: Uint8Array, pieces = [stream.length]): Promise<StreamRecord[]> {
  const parser = new StreamParser();
  const found: StreamRecord[] = [];
  let at = 0;
  for (const length of pieces) {
    for await (const record of parser.push(stream.subarray(at, at + length))) found.push(record);
    at += length;
  }
  parser.checkEnded();
  return found;
}

async function testStream(zstd: boolean): Promise<Uint8Array> {
  const encoder = new StreamEncoder({ zstd });
  return Buffer.concat([
    encoder.header(HEADER),
    await encoder.data(0, 2, new Uint8Array(2 * BLOCK).fill(1)),
    encoder.zero(2, 5),
    await encoder.data(
      9,
      2,
      Uint8Array.from({ length: BLOCK + 512 }, (_, at) => (at * at) % 251),
    ),
    encoder.end(),
  ]);
}

async function codeOf(stream: Uint8Array): Promise<string> {
  try {
    await records(stream);
    return "";
  } catch (thrown) {
    ok(thrown instanceof PenstockError, `${thrown}`);
    return thrown.code;
  }
}

/** Records as an enemy makes them: with right checksums. */
function forge(
  ...all: readonly { readonly type: number; readonly payload: Uint8Array; sequence?: number }[]
): Buffer {
  let chain = 0;
  const parts = all.map(({ payload, ...head }, sequence) => {
    const bytes = new Uint8Array(HEAD_BYTES + payload.length);
    const payloadCrc = crc32c(payload, 0, payload.length);
    const lengths = { payloadBytes: payload.length, payloadCrc };
    const plain = { packing: 0, sequence, first: 0, count: 0, ...lengths };
    chain = writeHead({ ...plain, ...head } as RecordHead, bytes, 0, chain);
    bytes.set(payload, HEAD_BYTES);
    return bytes;
  });
  return Buffer.concat(parts);
}

const header = (change: Partial<StreamHeader> = {}) => ({
  type: 1,
  payload: encodeHeader({ ...HEADER, features: 0, ...change }),
});
const data = (first: number, count: number, length = count * BLOCK, change = {}) => ({
  ...{ type: 2, first, count, payload: new Uint8Array(length) },
  ...change,
});
const zero = (first: number, count: number) => ({
  ...{ type: 3, first, count, payload: new Uint8Array(0) },
});

for (const zstd of [false, true]) {
  test(`a stream is read as it was made, however it is split, zstd ${zstd}`, async () => {
    const stream = await testStream(zstd);
    const whole = await records(stream);
    deepStrictEqual(
      whole.map(({ kind }) => kind),
      ["header", "data", "zero", "data", "end"],
    );
    const [first, ones, zeroes, last] = whole;
    ok(first?.kind === "header" && ones?.kind === "data" && last?.kind === "data");
    deepStrictEqual(first.header, { ...HEADER, features: zstd ? 1 : 0 });
    deepStrictEqual(Buffer.from(ones.bytes), Buffer.alloc(2 * BLOCK, 1));
    deepStrictEqual(zeroes, { kind: "zero", first: 2, count: 5 });
    strictEqual(last.bytes.length, BLOCK + 512);
    strictEqual(last.bytes[100], (100 * 100) % 251);
    const prng = new Prng(1);
    for (let round = 0; round < 30; round++) {
      const pieces: number[] = [];
      for (let left = stream.length; left > 0; left -= pieces.at(-1) ?? 0) {
        pieces.push(Math.min(left, round === 0 ? 1 : 1 + prng.below(3000)));
      }
      deepStrictEqual(await records(stream, pieces), whole);
    }
  });

  test(`no stream with a flipped byte is received, zstd ${zstd}`, async () => {
    const good = await testStream(zstd);
    const bytes = Uint8Array.from(good);
    const step = zstd ? 1 : 7;
    for (let at = 0; at < bytes.length; at += step) {
      for (const mask of [1, 0x80]) {
        bytes[at] = (good[at] as number) ^ mask;
        strictEqual(await codeOf(bytes), "stream-damaged", `byte ${at}`);
      }
      bytes[at] = good[at] as number;
    }
  });
}

test("the bytes of a stream stay as they are", async () => {
  const stream = await testStream(false);
  strictEqual(Buffer.from(stream.subarray(0, HEAD_BYTES + 80 + 11)).toString("hex"), GOLDEN_HEADER);
  strictEqual(createHash("sha256").update(stream).digest("hex"), GOLDEN_HASH);
});

test("a stream that ends early is said to be cut, at each byte", async () => {
  const stream = await testStream(true);
  for (let length = 0; length < stream.length; length++) {
    strictEqual(await codeOf(stream.subarray(0, length)), "stream-cut", `after ${length}`);
  }
  strictEqual(await codeOf(Buffer.concat([stream, Buffer.alloc(1)])), "stream-damaged");
});

test("records that make no sense are refused though their checksums are right", async () => {
  const hash = new Uint8Array(32);
  const end = { type: 4, payload: encodeEnd({ dataBlocks: 0, zeroBlocks: 0, records: 1, hash }) };
  const long = { sizeBytes: 2 ** 44 };
  const bad: Record<string, Buffer> = {
    "no header": forge(data(0, 1)),
    "two headers": forge(header(), header()),
    "an end of another stream": forge(header(), end),
    "no blocks": forge(header(), data(0, 0, 1)),
    "too many blocks": forge(header(long), data(0, 257)),
    "less data than blocks": forge(header(), data(0, 2, BLOCK)),
    "more data than blocks": forge(header(), data(0, 1, BLOCK + 1)),
    "nothing of a block": forge(header(), data(0, 1, 0)),
    "all of a last block that is cut": forge(header(), data(10, 1)),
    "blocks behind the end": forge(header(), data(10, 2, BLOCK)),
    "blocks behind every end": forge(header(long), data(2 ** 32 - 1, 2)),
    "zeroes behind the end": forge(header(), zero(0, 12)),
    "too many zeroes": forge(header(long), zero(0, 2 ** 28 + 1)),
    "a block twice": forge(header(), data(3, 2), data(4, 1)),
    "a block too late": forge(header(), zero(3, 2), data(0, 1)),
    "a block before the start": forge(header({ startBlock: 5 }), data(4, 2)),
    "a record twice": forge(header(), zero(1, 1), { ...zero(2, 1), sequence: 1 }),
    "a record left out": forge(header(), { ...zero(2, 1), sequence: 2 }),
    "an unknown type": forge(header(), { ...zero(2, 1), type: 5 }),
    "an unknown packing": forge(header(), data(0, 1, 100, { packing: 2 })),
    "packed against the header": forge(header(), data(0, 1, 100, { packing: 1 })),
    "packed and no zstd": forge(header({ features: 1 }), data(0, 1, 100, { packing: 1 })),
    "a size of 0": forge(header({ sizeBytes: 0 })),
    "a size that is none": forge(header({ sizeBytes: 513 })),
    "a size beyond all": forge(header({ sizeBytes: 2 ** 44 + 512 })),
    "a start behind the end": forge(header({ startBlock: 12 })),
    "its own base": forge(header({ baseUuid: HEADER.uuid })),
    "a name cut in two": forge({ type: 1, payload: header().payload.subarray(0, -1) }),
    "half a header": forge({ type: 1, payload: header().payload.subarray(0, 79) }),
    "a header of MiB": forge({ type: 1, payload: new Uint8Array(2 ** 20) }),
  };
  for (const [what, stream] of Object.entries(bad)) {
    strictEqual(await codeOf(stream), "stream-damaged", what);
  }
  const newer = header();
  newer.payload[0] = 2;
  strictEqual(await codeOf(forge(newer)), "stream-newer");
  strictEqual(await codeOf(forge(header({ features: 0x8000_0001 }))), "stream-newer");
});

test("what is compressed never grows beyond its blocks", async () => {
  const encoder = new StreamEncoder({ zstd: true });
  encoder.header({ ...HEADER, sizeBytes: 2 ** 30 });
  const bomb = (await encoder.data(0, 256, new Uint8Array(256 * BLOCK))).slice(HEAD_BYTES);
  ok(bomb.length < BLOCK);
  const stream = forge(header({ features: 1 }), {
    ...{ type: 2, packing: 1, first: 0, count: 1, payload: bomb },
  });
  await rejects(records(stream), /a compressed record is not what it says/);
});

test("random bytes are refused, whatever they are", async () => {
  const prng = new Prng(2);
  for (let round = 0; round < 300; round++) {
    const bytes = Uint8Array.from({ length: 1 + prng.below(300) }, () => prng.below(256));
    bytes.set([0x50, 0x53, 0x54, 0x52].slice(0, Math.min(4, bytes.length)));
    ok(["stream-damaged", "stream-cut"].includes(await codeOf(bytes)));
  }
});

const GOLDEN_HEADER =
  "5053545201000000000000005b000000000000000000000087e968dd403a796f01005b000000000000000000" +
  "00100000111111112222433384445555555555550000000000000000000000000000000000a2000000000000" +
  "00505c18a30100000000000001000b000000000000000000766f6c31406d6f6e646179";
const GOLDEN_HASH = "daca326ddc7df959e87f2cc628d85ed5add1fc4f6eb188d5ee7fb8d7af58f940";
