/**
 * Just enough of WebAssembly's binary format to write a small program by hand: one memory, one
 * function of i32 parameters, vectors of 16 bytes, i64. Pure: instructions in, a module's bytes
 * out.
 *
 * spec: WebAssembly Core 2.0, section 5 (binary format)
 */

/** Instructions, as bytes. Addresses are i32; `offset` is added to them by the machine. */
export const wasm = {
  get: (local: number): number[] => [0x20, ...unsigned(local)],
  set: (local: number): number[] => [0x21, ...unsigned(local)],
  tee: (local: number): number[] => [0x22, ...unsigned(local)],
  constant: (value: number): number[] => [0x41, ...signed(value)],
  add: [0x6a],
  isLess: [0x49],
  /** Takes the address from the stack, leaves 16 bytes on it. */
  loadVector: (offset: number): number[] => [0xfd, 0x00, 0, ...unsigned(offset)],
  /** Takes 16 bytes and, below them, their address from the stack. */
  storeVector: (offset: number): number[] => [0xfd, 0x0b, 0, ...unsigned(offset)],
  xorVector: [0xfd, ...unsigned(81)],
  zeroVector: [0xfd, 0x0c, ...new Array<number>(16).fill(0)],
  constantLong: (value: bigint): number[] => [0x42, ...signedLong(BigInt.asIntN(64, value))],
  loadLong: (offset: number): number[] => [0x29, 0, ...unsigned(offset)],
  storeLong: (offset: number): number[] => [0x37, 0, ...unsigned(offset)],
  addLong: [0x7c],
  multiplyLong: [0x7e],
  xorLong: [0x85],
  /** Zeroes come in at the top. */
  shiftLongRight: [0x88],
  rotateLongLeft: [0x89],
  /** Runs `body` again and again while it leaves something other than 0 on the stack. */
  repeat: (body: readonly number[]): number[] => [0x03, 0x40, ...body, 0x0d, 0, 0x0b],
} as const;

export interface WasmProgram {
  /** The function's parameters, all i32, are its first locals. */
  readonly parameterCount: number;
  /** Further i32 locals, 0 at the beginning. */
  readonly localCount: number;
  /** i64 locals after those, 0 at the beginning. */
  readonly longLocalCount?: number;
  readonly code: readonly number[];
  /** Of 64 KiB each. */
  readonly memoryPages: number;
}

/** A module that exports its memory as `memory` and its function as `run`. */
export function wasmModule(program: WasmProgram): Uint8Array<ArrayBuffer> {
  const { parameterCount, localCount, code, memoryPages } = program;
  const parameters = new Array<number>(parameterCount).fill(I32);
  const longLocals = [...unsigned(program.longLocalCount ?? 0), I64];
  const body = [2, ...unsigned(localCount), I32, ...longLocals, ...code, END];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, parameterCount, ...parameters, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, ...unsigned(memoryPages)]),
    ...section(7, [2, ...text("memory"), 2, 0, ...text("run"), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

const I32 = 0x7f;
const I64 = 0x7e;
const END = 0x0b;

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function text(name: string): number[] {
  return [name.length, ...Buffer.from(name)];
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest < -0x40 || rest > 0x3f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  bytes.push(rest & 0x7f);
  return bytes;
}

function signedLong(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest < -0x40n || rest > 0x3fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest & 0x7fn));
  return bytes;
}
