// Tests of the engine's values as messages: whatever a device tells of itself survives JSON.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { PipeState, PipeTreeSchema } from "../api/penstock/engine/v1/engine_pb.ts";
import { PenstockError } from "../util/errors.ts";
import type { StageListing } from "../pipe/replumb.ts";
import { treeMessage } from "./messages.ts";
import type { PipeWithStages } from "./pipe-registry.ts";

const STAGE: StageListing = {
  id: "gold",
  place: "2",
  label: "gold",
  kind: "limit",
  text: "limit#gold",
  sizeBytes: 2 ** 53 - 512,
  blockSizeBytes: 512,
  readOnly: false,
  inFlight: 3,
  fixedBecause: null,
  details: { iops: undefined, burst: Infinity, list: [NaN, { x: undefined }], text: "t" },
  legs: [],
};

const READY: PipeWithStages = {
  pipe: {
    name: "a",
    text: "null:///x | limit#gold | nbd://h/a",
    state: "ready",
    uri: "nbd://h:1/a",
    createdMs: 1_795_273_633_957.5,
    failure: null,
    retryAtMs: null,
  },
  tree: {
    id: 1,
    uri: "nbd://h:1/a",
    text: "null:///x | limit#gold | nbd://h/a",
    shareText: "nbd://h/a",
    shareDetails: { protocol: "nbd", connections: 2 },
    stages: [{ ...STAGE, id: "1", place: "1", label: null, legs: [[STAGE], [STAGE]] }, STAGE],
  },
};

test("a pipe's tree is a message whatever its stages tell", () => {
  const message = treeMessage(READY);
  const copies = [
    fromBinary(PipeTreeSchema, toBinary(PipeTreeSchema, message)),
    fromJson(PipeTreeSchema, toJson(PipeTreeSchema, message)),
  ];
  for (const { pipe, stages, shareText } of copies) {
    const [source, limit] = stages;
    strictEqual(limit?.sizeBytes, BigInt(2 ** 53 - 512));
    strictEqual(limit.fixedBecause, undefined);
    deepStrictEqual(limit.details, { burst: null, list: [null, {}], text: "t" });
    strictEqual(source?.legs[1]?.stages[0]?.id, "gold");
    strictEqual(source.label, undefined);
    strictEqual(pipe?.createTime?.nanos, 957_000_000);
    strictEqual(shareText, "nbd://h/a");
  }
});

test("a failed pipe has its reason and its next try, and no stages", () => {
  const failure = new PenstockError({ code: "not-found", message: "cannot open /x" });
  const pipe = { ...READY.pipe, state: "failed", uri: "", failure, retryAtMs: 0 } as const;
  const message = treeMessage({ pipe, tree: null });
  strictEqual(message.pipe?.state, PipeState.FAILED);
  strictEqual(message.pipe.failure?.code, "not-found");
  strictEqual(message.pipe.retryTime?.seconds, 0n);
  deepStrictEqual([message.stages, message.shareText], [[], ""]);
});
