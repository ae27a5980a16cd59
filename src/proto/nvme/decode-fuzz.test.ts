// Fuzz of every decoder of this folder: random bytes of any length never throw, and nothing is
// read beyond what was given: the same bytes amid other neighbours decode to the same.

import { deepStrictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeAbort, decodeFeatures, decodeGetLogPage, decodeIdentify } from "./admin-commands.ts";
import { decodeConnect, decodeConnectData } from "./connect.ts";
import { Cqe, decodeCqe } from "./cqe.ts";
import { rangeBlocks, rangeStart } from "./dataset-range.ts";
import { decodeIdentifyController, decodeIdentifyNvmController } from "./identify-controller.ts";
import { decodeNamespaceDescriptors, decodeNamespaceList } from "./identify-lists.ts";
import {
  currentFormat,
  decodeIdentifyIndependentNamespace,
  decodeIdentifyNamespace,
} from "./identify-namespace.ts";
import { decodeAnaLog } from "./log-ana.ts";
import { decodeDiscoveryEntry, decodeDiscoveryHeader } from "./log-discovery.ts";
import { decodeErrorLog } from "./log-error.ts";
import { decodeSmartLog } from "./log-smart.ts";
import { isAcceptableNqn, isNqn } from "./nqn.ts";
import { decodeCapabilities, decodeConfiguration, decodeProperty } from "./properties.ts";
import {
  decodeAcquire,
  decodeRegister,
  decodeRelease,
  decodeReport,
  decodeReservationNotification,
} from "./reservation-data.ts";
import { decodeSqe, Sqe } from "./sqe.ts";
import { decodeInstanceData } from "./vendor.ts";
import { viewOf } from "./wire.ts";

/** Decoders of a peer's data, which may have any length. */
const DECODERS: Readonly<Record<string, (bytes: Uint8Array) => unknown>> = {
  connectData: (bytes) => {
    const data = decodeConnectData(bytes);
    return [data, data === null || [isNqn(data.hostNqn), isAcceptableNqn(data.subsystemNqn)]];
  },
  identifyController: decodeIdentifyController,
  identifyNvmController: decodeIdentifyNvmController,
  identifyNamespace: (bytes) => {
    const namespace = decodeIdentifyNamespace(bytes);
    return [namespace, namespace === null || currentFormat(namespace)];
  },
  identifyIndependentNamespace: decodeIdentifyIndependentNamespace,
  namespaceList: decodeNamespaceList,
  namespaceDescriptors: decodeNamespaceDescriptors,
  anaLog: decodeAnaLog,
  discoveryHeader: decodeDiscoveryHeader,
  discoveryEntry: (bytes) => [0, 1, 1024, 5000].map((at) => decodeDiscoveryEntry(bytes, at)),
  errorLog: decodeErrorLog,
  smartLog: decodeSmartLog,
  register: (bytes) => decodeRegister(new Sqe(), bytes),
  acquire: (bytes) => decodeAcquire(new Sqe(), bytes),
  release: (bytes) => decodeRelease(new Sqe(), bytes),
  report: (bytes) => [decodeReport(bytes, false), decodeReport(bytes, true)],
  notification: decodeReservationNotification,
  instance: decodeInstanceData,
};

/** Mostly small numbers and zeroes, as lengths and counts are then often nearly right. */
const byte = fc.oneof(
  { arbitrary: fc.constantFrom(0, 0, 0, 1, 2, 4, 8, 16), weight: 3 },
  { arbitrary: fc.nat(255), weight: 1 },
);

/** Short ones of every length, and those about the sizes of structures. */
const anyBytes = fc
  .tuple(
    fc.array(byte, { maxLength: 200 }),
    fc.constantFrom(0, 0, 8, 16, 17, 24, 63, 64, 512, 1023, 1024, 2048, 4095, 4096, 4100),
  )
  .map(([head, lengthBytes]) => {
    const bytes = new Uint8Array(Math.max(head.length, lengthBytes));
    // Repeats the head, so that the far end is not all zeroes.
    for (let at = 0; at < bytes.length; at++) bytes[at] = head[at % Math.max(head.length, 1)] ?? 0;
    return bytes;
  });

function amid(bytes: Uint8Array, neighbour: number): Uint8Array {
  const buffer = new Uint8Array(bytes.length + 8192).fill(neighbour);
  buffer.set(bytes, 4096);
  return buffer.subarray(4096, 4096 + bytes.length);
}

for (const [name, decode] of Object.entries(DECODERS)) {
  test(`the decoder of ${name} takes any bytes and reads no others`, () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const before = bytes.slice();
        const decoded = decode(bytes);
        deepStrictEqual(decode(amid(bytes, 0)), decoded);
        deepStrictEqual(decode(amid(bytes, 0xff)), decoded);
        deepStrictEqual(bytes, before, "decoders do not write");
      }),
      { numRuns: 60 },
    );
  });
}

test("the decoders of commands take any 64 bytes and read no others", () => {
  const decode = (bytes: Uint8Array): unknown => {
    const sqe = new Sqe();
    decodeSqe(viewOf(bytes), 0, sqe);
    const cqe = new Cqe();
    decodeCqe(viewOf(bytes), 0, cqe);
    return [
      sqe,
      cqe,
      decodeConnect(sqe),
      decodeProperty(sqe),
      decodeIdentify(sqe),
      decodeGetLogPage(sqe),
      decodeFeatures(sqe),
      decodeAbort(sqe),
      decodeConfiguration(sqe.cdw12),
      decodeCapabilities({ low: sqe.cdw10, high: sqe.cdw11 }),
      rangeBlocks(viewOf(bytes), 48),
      rangeStart(viewOf(bytes), 48),
    ];
  };
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (bytes) => {
      const decoded = decode(bytes);
      deepStrictEqual(decode(amid(bytes, 0)), decoded);
      deepStrictEqual(decode(amid(bytes, 0xff)), decoded);
    }),
  );
});
