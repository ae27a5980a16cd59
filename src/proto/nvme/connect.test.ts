// Tests of Connect: the bytes that Linux sends, and round trips.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CONNECT_DATA_BYTES,
  type ConnectCommand,
  connectAuthentication,
  connectCntlid,
  ConnectAttribute,
  ConnectOffset,
  connectResult,
  decodeConnect,
  decodeConnectData,
  encodeConnect,
  encodeConnectData,
  invalidParameter,
} from "./connect.ts";
import { decodeSqe, encodeSqe, Sqe } from "./sqe.ts";

// What a Linux host sends for its admin queue: nvmf_connect_admin_queue of drivers/nvme/host.
const ADMIN_CONNECT =
  "7f400000" + // fabrics, SGL, CID 0
  "01000000" + // FCTYPE connect
  "00".repeat(16) +
  "0000000000000000" + // offset 0 in the capsule
  "00040000" + // 1,024 bytes
  "00000001" + // SGL data block, offset
  "00000000" + // RECFMT 0, QID 0
  "1f000000" + // SQSIZE 31, CATTR 0
  "c0d40100" + // KATO 120,000 ms
  "00".repeat(12);

test("decodeConnect reads what a Linux host sends", () => {
  const bytes = Buffer.from(ADMIN_CONNECT, "hex");
  strictEqual(bytes.length, 64);
  const sqe = new Sqe();
  decodeSqe(new DataView(bytes.buffer, bytes.byteOffset, 64), 0, sqe);
  strictEqual(sqe.fabricsType, 1);
  strictEqual(sqe.sglType, 1);
  strictEqual(sqe.sglLength, CONNECT_DATA_BYTES);
  deepStrictEqual(decodeConnect(sqe), {
    recordFormat: 0,
    qid: 0,
    queueSize: 32,
    attributes: 0,
    keepAliveMs: 120_000,
  });
  const again = new Sqe();
  encodeConnect(decodeConnect(sqe), again);
  const view = new DataView(new ArrayBuffer(64));
  encodeSqe(view, 0, again);
  strictEqual(Buffer.from(view.buffer).toString("hex"), ADMIN_CONNECT);
});

test("decodeConnect gives what encodeConnect was given", () => {
  const anyCommand: fc.Arbitrary<ConnectCommand> = fc.record(
    {
      recordFormat: fc.nat(0xffff),
      qid: fc.nat(0xffff),
      queueSize: fc.integer({ min: 1, max: 65_536 }),
      attributes: fc.nat(255),
      keepAliveMs: fc.integer({ min: 0, max: 0xffff_ffff }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(anyCommand, (command) => {
      const sqe = new Sqe();
      encodeConnect(command, sqe);
      deepStrictEqual(decodeConnect(sqe), command);
    }),
  );
  strictEqual(ConnectAttribute.disableSqFlowControl, 1 << 2);
});

test("encodeConnectData lays its fields out as the spec does", () => {
  const bytes = encodeConnectData({
    hostId: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    cntlid: 0xffff,
    subsystemNqn: "nqn.2026-11.io.penstock:vol1",
    hostNqn: "nqn.2014-08.org.nvmexpress:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
  });
  strictEqual(bytes.length, 1024);
  const buffer = Buffer.from(bytes);
  strictEqual(buffer.toString("hex", 0, 20), "f81d4fae7dec11d0a76500a0c91e6bf6ffff0000");
  strictEqual(buffer.toString("latin1", 256, 286), "nqn.2026-11.io.penstock:vol1\0\0");
  strictEqual(buffer.toString("latin1", 512, 520), "nqn.2014");
  strictEqual(
    buffer.subarray(768).every((byte) => byte === 0),
    true,
  );
});

test("decodeConnectData gives what encodeConnectData was given", () => {
  const nqn = fc.string({ maxLength: 223, unit: "grapheme-ascii" });
  const anyData = fc.record(
    {
      hostId: fc.uuid(),
      cntlid: fc.nat(0xffff),
      subsystemNqn: nqn,
      hostNqn: nqn,
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(anyData, (data) => {
      deepStrictEqual(decodeConnectData(encodeConnectData(data)), data);
    }),
  );
});

test("decodeConnectData says null when bytes are missing", () => {
  strictEqual(decodeConnectData(new Uint8Array(1023)), null);
  strictEqual(decodeConnectData(new Uint8Array(0)), null);
});

test("invalidParameter and connectResult are what Linux takes apart", () => {
  strictEqual(invalidParameter(ConnectOffset.cntlid, true), 0x1_0010);
  strictEqual(invalidParameter(ConnectOffset.queueSize, false), 44);
  const result = connectResult(0x1234, 4);
  strictEqual(result, 0x4_1234);
  strictEqual(connectCntlid(result), 0x1234);
  strictEqual(connectAuthentication(result), 4);
  strictEqual(connectResult(0xffff, 0x8000), 0x8000_ffff);
});
