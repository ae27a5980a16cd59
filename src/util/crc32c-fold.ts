/**
 * CrcFold: shortens a long message to one with the same CRC32C, sixteen bytes a step, without a
 * table: a WebAssembly program over a memory of its own. One per thread, used by `crc32c` alone.
 *
 * Q(x) = x^290 + x^136 + x^113 + x^107 + x^32 + 1 is a multiple of the checksum's polynomial, and
 * so is Q(x^8) = Q(x)^8. A byte may therefore be taken away when it is XORed to the bytes that
 * follow it 290, 290-32, 290-107, 290-113 and 290-136 places later. All of a message but its last
 * 290 bytes goes that way. Here each byte asks the five before it instead:
 *
 *   0          LEAD                 LEAD + body        TAIL
 *   | zeroes   | body: becomes what | zeroes           | the rest of the message (290 to 320)
 *              | is taken away      |                  | becomes the shorter message
 */

import { wasm, wasmModule } from "./wasm-code.ts";

/** How many bytes later a byte that is taken away appears again. */
const DISTANCES = [154, 177, 183, 258, 290] as const;
const VECTOR_BYTES = 16;
const PAGE_BYTES = 65_536;
/** Zeroes before and after the body, so that the farthest byte asked for is there. */
const LEAD = 320;

/** What has to be left of a message: the bytes that the last ones taken away appear in. */
export const FOLD_TAIL_BYTES_MIN = 304;
/** Bodies are multiples of this. */
export const FOLD_STEP_BYTES = VECTOR_BYTES;
/** The longest body, bytes. */
export const FOLD_BODY_BYTES_MAX = 64_000;

/** Where the body lies in the fold's memory. */
export const FOLD_BODY_AT = LEAD;
/** Where the tail lies; its first FOLD_TAIL_BYTES_MIN bytes change. */
export const FOLD_TAIL_AT = PAGE_BYTES - 512;

export interface CrcFold {
  /** The fold's memory; the caller puts body and tail there. */
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Folds a body of so many bytes, more than 0, a multiple of the step, into the tail. */
  run(bodyBytes: number): void;
}

/** Null where this machine's engine has no vectors. Takes about a millisecond. */
export function makeCrcFold(): CrcFold | null {
  const module = foldModule();
  const engine = (globalThis as { WebAssembly?: WasmEngine }).WebAssembly;
  if (!engine?.validate(module)) {
    return null;
  }
  const { exports } = new engine.Instance(new engine.Module(module));
  const memory = exports.memory.buffer;
  return { bytes: new Uint8Array(memory), words: new Int32Array(memory), run: exports.run };
}

/** What is used of the engine's global; the types of Node do not have it. */
interface WasmEngine {
  validate(module: Uint8Array): boolean;
  readonly Module: new (module: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer };
      readonly run: (bodyBytes: number) => void;
    };
  };
}

function foldModule(): Uint8Array<ArrayBuffer> {
  const { get, set, tee, constant, add, isLess, loadVector, storeVector, xorVector } = wasm;
  const [bodyBytes, at, tailAt] = [0, 1, 2];
  const asked = DISTANCES.flatMap((distance) => [
    ...get(at),
    ...loadVector(LEAD - distance),
    ...xorVector,
  ]);
  const next = (local: number) => [...get(local), ...constant(VECTOR_BYTES), ...add];
  const takeAway = wasm.repeat([
    ...[...get(at), ...get(at), ...loadVector(LEAD), ...asked, ...storeVector(LEAD)],
    ...[...next(at), ...tee(at), ...get(bodyBytes), ...isLess],
  ]);
  const zeroes: number[] = [];
  for (let offset = 0; offset < LEAD; offset += VECTOR_BYTES) {
    zeroes.push(...get(bodyBytes), ...wasm.zeroVector, ...storeVector(LEAD + offset));
  }
  const intoTail = wasm.repeat([
    ...[...get(tailAt), ...get(tailAt), ...loadVector(0), ...asked, ...storeVector(0)],
    ...[...next(at), ...set(at), ...next(tailAt), ...tee(tailAt)],
    ...[...constant(FOLD_TAIL_AT + FOLD_TAIL_BYTES_MIN), ...isLess],
  ]);
  return wasmModule({
    parameterCount: 1,
    localCount: 2,
    code: [...takeAway, ...zeroes, ...constant(FOLD_TAIL_AT), ...set(tailAt), ...intoTail],
    memoryPages: 1,
  });
}
