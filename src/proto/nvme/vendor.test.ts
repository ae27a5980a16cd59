// Tests of Penstock's own commands.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Sqe } from "./sqe.ts";
import {
  decodeInstanceData,
  encodeClaimCommand,
  encodeInstanceCommand,
  encodeInstanceData,
  isClaiming,
} from "./vendor.ts";

const DATA = { instanceId: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", epoch: 2 ** 40 };

test("encodeInstanceData lays its fields out as documented", () => {
  const bytes = encodeInstanceData(DATA);
  strictEqual(
    Buffer.from(bytes).toString("hex"),
    `50454e53544f434b0100000000000000f81d4fae7dec11d0a76500a0c91e6bf6` +
      `0000000000010000${"00".repeat(24)}`,
  );
  deepStrictEqual(decodeInstanceData(bytes), DATA);
});

test("decodeInstanceData takes later versions and nothing foreign", () => {
  const bytes = encodeInstanceData(DATA);
  bytes[8] = 2;
  deepStrictEqual(decodeInstanceData(bytes), DATA);
  bytes[8] = 0;
  strictEqual(decodeInstanceData(bytes), null);
  bytes[8] = 1;
  bytes[0] = 0;
  strictEqual(decodeInstanceData(bytes), null);
  strictEqual(decodeInstanceData(encodeInstanceData(DATA).subarray(1)), null);
});

test("encodeInstanceCommand asks for 64 bytes by a transport SGL", () => {
  const sqe = new Sqe();
  encodeInstanceCommand(3, sqe);
  deepStrictEqual(
    [sqe.opcode, sqe.nsid, sqe.sglType, sqe.sglLength, sqe.cdw10],
    [0xc2, 3, 0x5a, 64, 16],
  );
});

test("encodeClaimCommand has no data, and says in CDW12 what it does", () => {
  const sqe = new Sqe();
  for (const isClaim of [true, false]) {
    encodeClaimCommand(3, isClaim, sqe);
    deepStrictEqual(
      [sqe.opcode, sqe.nsid, sqe.sglLength, sqe.cdw10, sqe.cdw11, sqe.cdw12],
      [0xc4, 3, 0, 0, 0, isClaim ? 1 : 0],
    );
    strictEqual(isClaiming(sqe), isClaim);
  }
});
