/**
 * Conformance: random operations, several at once on ranges that do not overlap, against a dumb
 * array. The seed is the test's; PENSTOCK_LONG=1 runs a hundred times as many.
 */

import { strictEqual } from "node:assert/strict";
import { Operation, type OperationTable, RequestFlag } from "../operation.ts";
import { Status, statusName } from "../status.ts";
import { type Ask, expectBytes, type Kit, WINDOW_BYTES } from "./kit.ts";
import type { TestRequest } from "./test-request.ts";

const ROUNDS = process.env.PENSTOCK_LONG === "1" ? 10_000 : 100;
const AT_ONCE_MAX = 8;
const BLOCKS_MAX = 64;

/** More often named, more often done. */
const MIX: readonly (keyof OperationTable)[] = [
  "read",
  "read",
  "read",
  "write",
  "write",
  "write",
  "flush",
  "discard",
  "writeZeroes",
  "compare",
  "compareAndWrite",
];

/** One operation, what it should answer, and what it leaves in the model. */
interface Step {
  readonly ask: Ask;
  readonly status: Status;
  readonly apply: (request: TestRequest) => void;
}

export async function randomOperationsMatchTheModel(kit: Kit): Promise<void> {
  const names = MIX.filter((name) => kit.supports(name));
  for (let round = 0; round < ROUNDS; round++) {
    const steps: Step[] = [];
    let from = 0;
    const atOnce = 1 + kit.prng.below(AT_ONCE_MAX);
    for (let index = 0; index < atOnce; index++) {
      // Each in its own stripe of the window: at once, but never overlapping.
      const stripe = WINDOW_BYTES / atOnce;
      const until = Math.floor((stripe * (index + 1)) / kit.blockSize) * kit.blockSize;
      steps.push(drawStep(kit, kit.prng.pick(names), from, until));
      from = until;
    }
    const requests = await Promise.all(steps.map(({ ask }) => kit.run(ask)));
    for (const [index, { ask, status, apply }] of steps.entries()) {
      const request = requests[index] as TestRequest; // one per step
      const place = `round ${round}, operation ${ask.operation} at ${ask.offset}`;
      strictEqual(`${place}: ${statusName(request.status)}`, `${place}: ${statusName(status)}`);
      apply(request);
    }
  }
  await kit.verify();
}

function drawStep(kit: Kit, name: keyof OperationTable, from: number, until: number): Step {
  const { prng, blockSize, model } = kit;
  const blocks = (until - from) / blockSize;
  const first = prng.below(blocks);
  const count = 1 + prng.below(Math.min(blocks - first, BLOCKS_MAX));
  const offset = from + first * blockSize;
  const length = count * blockSize;
  const place = {
    operation: Operation[name],
    offset,
    segmentCount: 1 + prng.below(Math.min(count, 4)),
    memoryOffset: prng.pick([0, 0, 512, 28]),
    flags: prng.chance(0.1) ? RequestFlag.fua : 0,
  };
  const nothing = () => {};
  switch (name) {
    case "read": {
      const apply = (request: TestRequest) => {
        expectBytes(kit.bytesOf(request), model.subarray(offset, offset + length), offset);
      };
      return { ask: { ...place, length }, status: Status.ok, apply };
    }
    case "write": {
      const data = kit.noise(length);
      return {
        ask: { ...place, data },
        status: Status.ok,
        apply: () => kit.modelWrite(offset, data),
      };
    }
    case "discard":
    case "writeZeroes": {
      const apply = () => void model.fill(0, offset, offset + length);
      return { ask: { ...place, length }, status: Status.ok, apply };
    }
    case "compare":
      return drawCompare(kit, place, length);
    case "compareAndWrite": {
      const next = kit.noise(length);
      const compared = drawCompare(kit, place, length);
      const data = Buffer.concat([compared.ask.data as Uint8Array, next]);
      const apply =
        compared.status === Status.ok ? () => kit.modelWrite(offset, next) : compared.apply;
      return { ask: { ...place, data }, status: compared.status, apply };
    }
    default:
      return { ask: { operation: Operation.flush }, status: Status.ok, apply: nothing };
  }
}

/** The right bytes, or half of the time with one wrong byte. */
function drawCompare(kit: Kit, place: Ask & { readonly offset: number }, length: number): Step {
  const { prng, model } = kit;
  const data = model.slice(place.offset, place.offset + length);
  if (prng.chance(0.5)) return { ask: { ...place, data }, status: Status.ok, apply: () => {} };
  const at = prng.below(length);
  data[at] = (data[at] as number) ^ (1 + prng.below(255));
  const apply = (request: TestRequest) => strictEqual(request.errorOffset, place.offset + at);
  return { ask: { ...place, data }, status: Status.compareFailed, apply };
}
