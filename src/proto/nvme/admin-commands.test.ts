// Tests of the admin commands' dwords, against what Linux sends.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeAbort,
  decodeFeatures,
  decodeGetLogPage,
  decodeIdentify,
  encodeAbort,
  encodeGetFeatures,
  encodeGetLogPage,
  encodeIdentify,
  encodeSetFeatures,
  type LogPageRequest,
  queueCounts,
  queuePairs,
} from "./admin-commands.ts";
import {
  AsyncEventNotice,
  AsyncEventType,
  asyncEventResult,
  Cns,
  Feature,
  LogPage,
} from "./constants.ts";
import { Sqe } from "./sqe.ts";

test("encodeIdentify fills CNS and CSI, decodeIdentify reads them", () => {
  const sqe = new Sqe();
  encodeIdentify(Cns.csiController, 0, 2, sqe);
  strictEqual(sqe.opcode, 6);
  strictEqual(sqe.cdw10, 6);
  strictEqual(sqe.cdw11, 0x0200_0000);
  strictEqual(sqe.sglLength, 4096);
  strictEqual(sqe.sglType, 0x5a);
  sqe.cdw10 = 0x1234_0013;
  deepStrictEqual(decodeIdentify(sqe), { cns: Cns.controllerList, cntlid: 0x1234, csi: 2 });
});

test("decodeGetLogPage reads the dwords of Linux's nvme_get_log", () => {
  const sqe = new Sqe();
  // LID 70h, RAE, 4,096 bytes at offset 2^32 + 1,024.
  sqe.cdw10 = 0x03ff_8070;
  sqe.cdw12 = 1024;
  sqe.cdw13 = 1;
  deepStrictEqual(decodeGetLogPage(sqe), {
    logPage: LogPage.discovery,
    specific: 0,
    retainEvent: true,
    lengthBytes: 4096,
    offset: 2 ** 32 + 1024,
    isIndex: false,
    csi: 0,
  });
  // NUMDU: 2^32 dwords, the most there is.
  sqe.cdw10 = 0xffff_0002;
  sqe.cdw11 = 0xffff;
  sqe.cdw14 = 0x0280_0000;
  const { lengthBytes, isIndex, csi } = decodeGetLogPage(sqe);
  deepStrictEqual({ lengthBytes, isIndex, csi }, { lengthBytes: 2 ** 34, isIndex: true, csi: 2 });
});

test("decodeGetLogPage gives what encodeGetLogPage was given", () => {
  const anyRequest: fc.Arbitrary<LogPageRequest> = fc.record({
    logPage: fc.nat(255),
    nsid: fc.integer({ min: 0, max: 0xffff_ffff }),
    lengthBytes: fc.integer({ min: 1, max: 2 ** 30 - 1 }).map((dwords) => 4 * dwords),
    offset: fc.maxSafeNat().map((offset) => offset - (offset % 4)),
    specific: fc.nat(127),
    retainEvent: fc.boolean(),
  });
  fc.assert(
    fc.property(anyRequest, (request) => {
      const sqe = new Sqe();
      encodeGetLogPage(request, sqe);
      const { logPage, lengthBytes, offset, specific, retainEvent } = decodeGetLogPage(sqe);
      const decoded = { logPage, lengthBytes, offset, specific, retainEvent, nsid: sqe.nsid };
      deepStrictEqual(decoded, { ...request });
      strictEqual(sqe.sglLength, request.lengthBytes);
    }),
  );
});

test("decodeFeatures reads Set Features and Get Features", () => {
  const sqe = new Sqe();
  encodeSetFeatures(Feature.numberOfQueues, 0, queueCounts(4, 8), sqe);
  strictEqual(sqe.opcode, 9);
  strictEqual(sqe.cdw11, 0x0007_0003);
  deepStrictEqual(decodeFeatures(sqe), {
    feature: 7,
    select: 0,
    save: false,
    value: 0x0007_0003,
  });
  encodeGetFeatures(Feature.keepAliveTimer, 0, 0, sqe);
  strictEqual(sqe.opcode, 10);
  sqe.cdw10 = 0x8000_030f;
  deepStrictEqual(decodeFeatures(sqe), { feature: 15, select: 3, save: true, value: 0 });
});

test("queuePairs gives the smaller of both counts", () => {
  strictEqual(queuePairs(queueCounts(4, 8)), 4);
  strictEqual(queuePairs(queueCounts(65_536, 1)), 1);
  strictEqual(queuePairs(queueCounts(65_536, 65_536)), 65_536);
});

test("decodeAbort gives what encodeAbort was given", () => {
  const sqe = new Sqe();
  encodeAbort(3, 0xfffe, sqe);
  strictEqual(sqe.cdw10, 0xfffe_0003);
  deepStrictEqual(decodeAbort(sqe), { sqId: 3, cid: 0xfffe });
});

test("asyncEventResult packs type, information and log page as Linux unpacks them", () => {
  const { namespaceAttributeChanged, anaChange, discoveryLogChange } = AsyncEventNotice;
  const { notice } = AsyncEventType;
  strictEqual(
    asyncEventResult(notice, namespaceAttributeChanged, LogPage.changedNamespaces),
    0x04_00_02,
  );
  strictEqual(asyncEventResult(notice, anaChange, LogPage.ana), 0x0c_03_02);
  strictEqual(asyncEventResult(notice, discoveryLogChange, LogPage.discovery), 0x70_f0_02);
});
