/**
 * XXH64 of messages of one fixed length, in a WebAssembly program over a memory of its own: a
 * 64-bit multiplication in JavaScript needs BigInt. One per thread.
 *
 * spec: xxHash fast digest algorithm 0.1.1, XXH64 (seed 0)
 */

import { assert } from "./assert.ts";
import { wasm, wasmModule } from "./wasm-code.ts";

const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const PRIME_4 = 0x85ebca77c2b2ae63n;
const STRIPE_BYTES = 32;
const LANES = [1, 2, 3, 4];
const LANES_AT_START = [PRIME_1 + PRIME_2, PRIME_2, 0n, -PRIME_1];
const LANE_ROTATIONS = [1n, 7n, 12n, 18n];
const PAGE_BYTES = 65_536;

export interface Xxh64 {
  /** The caller puts the message here, from byte 0 on. */
  readonly message: Uint8Array;
  /** Low and high half of the result of the last run. */
  readonly result: Int32Array;
  run(): void;
}

/** @param lengthBytes of each message: a multiple of 32, at most 65,504 */
export function makeXxh64(lengthBytes: number): Xxh64 {
  assert(lengthBytes > 0 && lengthBytes % STRIPE_BYTES === 0, "a message has whole stripes");
  assert(lengthBytes + STRIPE_BYTES <= PAGE_BYTES, "message and result fit into the memory");
  const { Instance, Module } = (globalThis as unknown as { WebAssembly: WasmEngine }).WebAssembly;
  const { exports } = new Instance(new Module(moduleFor(lengthBytes)));
  const memory = exports.memory.buffer;
  return {
    message: new Uint8Array(memory, 0, lengthBytes),
    result: new Int32Array(memory, lengthBytes, 2),
    run: exports.run,
  };
}

/** What is used of the engine's global; the types of Node do not have it. */
interface WasmEngine {
  readonly Module: new (module: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer };
      readonly run: () => void;
    };
  };
}

function moduleFor(lengthBytes: number): Uint8Array<ArrayBuffer> {
  const { get, set, tee, constant, add, isLess, constantLong, loadLong, storeLong } = wasm;
  const { addLong, multiplyLong, xorLong, rotateLongLeft, shiftLongRight } = wasm;
  const [at, hash] = [0, 5];
  const times = (prime: bigint) => [...constantLong(prime), ...multiplyLong];
  const rotated = (count: bigint) => [...constantLong(count), ...rotateLongLeft];
  /** Both operands are on the stack already. */
  const round = [...times(PRIME_2), ...addLong, ...rotated(31n), ...times(PRIME_1)];

  const start = LANES.flatMap((lane) => [
    ...constantLong(LANES_AT_START[lane - 1] as bigint),
    ...set(lane),
  ]);
  const stripes = wasm.repeat([
    ...LANES.flatMap((lane) => [
      ...[...get(lane), ...get(at), ...loadLong(8 * (lane - 1)), ...round, ...set(lane)],
    ]),
    ...[...get(at), ...constant(STRIPE_BYTES), ...add, ...tee(at)],
    ...[...constant(lengthBytes), ...isLess],
  ]);
  const joined = LANES.flatMap((lane) => [
    ...[...get(hash), ...get(lane), ...rotated(LANE_ROTATIONS[lane - 1] as bigint)],
    ...[...addLong, ...set(hash)],
  ]);
  const merged = LANES.flatMap((lane) => [
    ...[...get(hash), ...constantLong(0n), ...get(lane), ...round, ...xorLong],
    ...[...times(PRIME_1), ...constantLong(PRIME_4), ...addLong, ...set(hash)],
  ]);
  const shifted = (count: bigint) => [
    ...[...get(hash), ...get(hash), ...constantLong(count), ...shiftLongRight, ...xorLong],
  ];
  const end = [
    ...[...get(hash), ...constantLong(BigInt(lengthBytes)), ...addLong, ...set(hash)],
    ...[...shifted(33n), ...times(PRIME_2), ...set(hash)],
    ...[...shifted(29n), ...times(PRIME_3), ...set(hash)],
    ...[...constant(lengthBytes), ...shifted(32n), ...storeLong(0)],
  ];
  return wasmModule({
    parameterCount: 0,
    localCount: 1,
    longLocalCount: 5,
    code: [...start, ...stripes, ...joined, ...merged, ...end],
    memoryPages: 1,
  });
}
