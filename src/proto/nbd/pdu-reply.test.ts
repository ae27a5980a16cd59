// Tests of the reply codec, both ways: what is encoded is decoded, sizes are the bytes written,
// layouts are the spec's, and no bytes make a decoder throw.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ChunkType } from "./constants.ts";
import * as reply from "./pdu-reply.ts";
import * as read from "./pdu-reply-decode.ts";

const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const uint16 = fc.integer({ min: 0, max: 0xffff });
const offset = fc.maxSafeNat();
const anywhere = fc.nat({ max: 67 });

function newView(): DataView {
  return new DataView(new ArrayBuffer(256));
}

function hex(view: DataView, at: number, length: number): string {
  return Buffer.from(view.buffer as ArrayBuffer, at, length).toString("hex");
}

test("decodeReply gives what encodeSimpleReply wrote when given any fields", () => {
  fc.assert(
    fc.property(anywhere, int32, int32, int32, (at, error, cookieHigh, cookieLow) => {
      const view = newView();
      const bytes = reply.encodeSimpleReply(view, at, error, cookieHigh, cookieLow);
      strictEqual(bytes, reply.SIMPLE_REPLY_BYTES);
      const header = new read.ReplyHeader();
      strictEqual(read.decodeReply(view, at, false, header), bytes);
      strictEqual(header.simple, true);
      deepStrictEqual(
        [header.error, header.cookieHigh, header.cookieLow],
        [error, cookieHigh, cookieLow],
      );
      // spec: with extended headers a simple reply must not be used.
      strictEqual(read.decodeReply(view, at, true, header), 0);
    }),
  );
});

test("decodeReply gives what the chunk encoders wrote when given any fields", () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      anywhere,
      uint16,
      uint16,
      fc.tuple(int32, int32, int32, int32),
      uint32,
      (extended, at, flags, type, [cookieHigh, cookieLow, offsetHigh, offsetLow], payload) => {
        const view = newView();
        const bytes = extended
          ? reply.encodeExtendedChunk(
              ...([view, at, flags, type, cookieHigh, cookieLow] as const),
              ...([offsetHigh, offsetLow, payload] as const),
            )
          : reply.encodeStructuredChunk(view, at, flags, type, cookieHigh, cookieLow, payload);
        strictEqual(bytes, reply.chunkHeaderBytes(extended));
        const header = new read.ReplyHeader();
        strictEqual(read.decodeReply(view, at, extended, header), bytes);
        const expected = new read.ReplyHeader();
        Object.assign(expected, { flags, type, cookieHigh, cookieLow, payloadBytes: payload });
        if (extended) Object.assign(expected, { offsetHigh, offsetLow });
        deepStrictEqual(header, expected);
      },
    ),
  );
});

test("reply encoders write the spec's layout", () => {
  const view = newView();
  reply.encodeSimpleReply(view, 0, 22, 1, 2);
  strictEqual(hex(view, 0, 16), "67446698000000160000000100000002");
  reply.encodeStructuredChunk(view, 0, 1, ChunkType.error, 1, 2, 6);
  strictEqual(hex(view, 0, 20), "668e33ef00018001000000010000000200000006");
  reply.encodeExtendedChunk(view, 0, 1, ChunkType.none, 1, 2, 3, 4, 0);
  strictEqual(hex(view, 0, 32), "6e8a278c00010000000000010000000200000003000000040000000000000000");
  reply.encodeOffsetHole(view, 0, 0x1_0000_0200, 0xffff_fe00);
  strictEqual(hex(view, 0, 12), "0000000100000200fffffe00");
  reply.encodeErrorOffset(view, 0, 5, 0x2_0000_0001, Buffer.from("bad"));
  strictEqual(hex(view, 0, 17), "00000005" + "0003" + "626164" + "0000000200000001");
});

test("payload decoders give what the encoders wrote when given any fields", () => {
  fc.assert(
    fc.property(anywhere, offset, uint32, fc.nat(), (at, offsetBytes, hole, flags) => {
      const view = newView();
      strictEqual(reply.encodeOffsetData(view, at, offsetBytes), reply.OFFSET_DATA_BYTES);
      strictEqual(read.decodeUint64(view, at), offsetBytes);
      strictEqual(reply.encodeOffsetHole(view, at, offsetBytes, hole), reply.OFFSET_HOLE_BYTES);
      strictEqual(read.decodeUint64(view, at), offsetBytes);
      strictEqual(view.getUint32(at + 8), hole);

      let end = at + reply.encodeBlockStatus(view, at, 7);
      end += reply.encodeExtent(view, end, hole, flags);
      end += reply.encodeExtent(view, end, 512, 3);
      strictEqual(end - at, reply.BLOCK_STATUS_BYTES + 2 * reply.EXTENT_BYTES);
      strictEqual(read.extentCount(view, at, end - at, false), 2);
      strictEqual(read.extentLength(view, at, 0, false), hole);
      strictEqual(read.extentFlags(view, at, 0, false), flags);
      strictEqual(read.extentFlags(view, at, 1, false), 3);

      end = at + reply.encodeBlockStatusExt(view, at, 7, 2);
      end += reply.encodeExtentExt(view, end, offsetBytes, flags);
      end += reply.encodeExtentExt(view, end, 512, 3);
      strictEqual(end - at, reply.BLOCK_STATUS_EXT_BYTES + 2 * reply.EXTENT_EXT_BYTES);
      strictEqual(read.extentCount(view, at, end - at, true), 2);
      strictEqual(read.extentLength(view, at, 0, true), offsetBytes);
      strictEqual(read.extentFlags(view, at, 0, true), flags);
      strictEqual(read.extentLength(view, at, 1, true), 512);
    }),
  );
});

test("decodeError gives what encodeError and encodeErrorOffset wrote", () => {
  const text = fc.uint8Array({ maxLength: 100 });
  const error = fc.integer({ min: 1, max: 200 });
  fc.assert(
    fc.property(
      anywhere,
      error,
      text,
      offset,
      fc.boolean(),
      (at, code, message, where, located) => {
        const view = newView();
        const bytes = located
          ? reply.encodeErrorOffset(view, at, code, where, message)
          : reply.encodeError(view, at, code, message);
        strictEqual(
          bytes,
          message.length + (located ? reply.ERROR_OFFSET_BYTES : reply.ERROR_BYTES),
        );
        const decoded = new read.ReplyError();
        ok(read.decodeError(view, at, bytes, located, decoded));
        strictEqual(decoded.error, code);
        strictEqual(decoded.offset, located ? where : -1);
        const copy = new Uint8Array(view.buffer, decoded.messageAt, decoded.messageBytes);
        deepStrictEqual(Array.from(copy), Array.from(message));
        // A message that does not fit into the payload, and a payload too short for the fixed part.
        if (message.length > 0) ok(!read.decodeError(view, at, bytes - 1, located, decoded));
        ok(!read.decodeError(view, at, 5, located, decoded));
      },
    ),
  );
});

test("extentCount refuses when the payload's length or count is impossible", () => {
  const view = newView();
  reply.encodeBlockStatusExt(view, 0, 0, 3);
  for (const [payloadBytes, ext] of [
    [0, false],
    [4, false],
    [11, false],
    [13, false],
    [0, true],
    [8, true],
    [8 + 16, true],
    [8 + 40, true],
    [8 + 64, true],
  ] as const) {
    strictEqual(read.extentCount(view, 0, payloadBytes, ext), -1);
  }
  strictEqual(read.extentCount(view, 0, 8 + 48, true), 3);
  view.setUint32(4, 0);
  strictEqual(read.extentCount(view, 0, 8 + 16, true), 1, "count 0 leaves it to the length");
});

test("decoders never throw when given random bytes", () => {
  const bytes = fc.uint8Array({ minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(bytes, fc.boolean(), fc.nat({ max: 48 }), (random, flag, payloadBytes) => {
      const view = new DataView(random.buffer);
      read.decodeReply(view, 0, flag, new read.ReplyHeader());
      read.decodeError(view, 0, payloadBytes, flag, new read.ReplyError());
      read.extentCount(view, 0, payloadBytes, flag);
    }),
  );
});
