/**
 * Runs a program (composition-spec.ts) on its composition beside a SectorModel, and checks at every
 * quiet moment and at the end all that must hold of any pipe: what is read, what block status says,
 * that the legs of mirrors are equal, that nothing is left in flight, that files keep it all.
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Device } from "../block/device.ts";
import { ExtentFlag, type ExtentList } from "../block/extents.ts";
import { Operation, type OperationTable, RequestFlag, Support } from "../block/operation.ts";
import { Status, statusName } from "../block/status.ts";
import type { Branch, OpenStage } from "../pipe/branch.ts";
import { changeStage, insertStage, removeStage } from "../pipe/replumb.ts";
import { FUSED_BYTES_MAX } from "../proto/nvme/constants.ts";
import { type FoundStage, walkStages } from "../pipe/stage-address.ts";
import type { Slab } from "../reactor/slab.ts";
import type { TestReactor } from "../reactor/test-reactor.ts";
import { parseSize } from "../util/size.ts";
import { unreachable } from "../util/assert.ts";
import { CompositionRig, zero } from "./composition-rig.ts";
import {
  type BatchSpec,
  forgets,
  nameOf,
  type OperationSpec,
  outlivesClosing,
  type PlumbingSpec,
  type ProgramSpec,
  tearingOf,
} from "./composition-spec.ts";
import { sleepOn } from "./mirror-rig.ts";
import { laneBytes, type ModelAsk, ModelRequest } from "./model-request.ts";
import {
  type Note,
  SECTOR_BYTES,
  sectorBytes,
  SectorModel,
  type Tearing,
  UNSEEN,
} from "./sector-model.ts";

/** Filters on one branch; more are not put in. */
const STAGES_MAX = 8;
/** The number of the write that fills everything; later ones count on. */
const FILLING = 1;

const { fua, noUnmap, fastZero, mayLend } = RequestFlag;

/** Flags that each operation may have, beside `mayLend`. */
const FLAGS: Readonly<Record<OperationSpec["kind"], number>> = {
  read: 0,
  write: fua,
  flush: 0,
  discard: fua,
  writeZeroes: fua | noUnmap | fastZero,
  compare: 0,
  compareAndWrite: fua,
  blockStatus: 0,
};

/**
 * @param folder for its files: fresh
 * @throws Error that says what did not hold
 */
export async function runProgram(
  program: ProgramSpec,
  test: TestReactor,
  folder: string,
): Promise<void> {
  const rig = await CompositionRig.open(program, test, folder);
  const run = new ProgramRun(program, test, rig);
  await run.fill();
  for (const [index, batch] of program.batches.entries()) {
    await run.batch(batch, `batch ${index}`);
  }
  await run.finish();
  await rig.close();
  deepStrictEqual(rig.complaints, []);
}

class ProgramRun {
  readonly #program: ProgramSpec;
  readonly #test: TestReactor;
  readonly #rig: CompositionRig;
  readonly #model: SectorModel;
  /** What each sector held when the last write of it ended: what compares expect. */
  readonly #latest: Int32Array;
  /** One per lane, and a last one for looking when all is quiet. */
  readonly #requests: ModelRequest[] = [];
  readonly #slab: Slab;
  /** What a request has memory for. */
  readonly #transferBytes: number;
  readonly #forgets: boolean;
  readonly #usesNvmf: boolean;
  readonly #tearing: Tearing;
  /** Said of compares when all of the batch has ended. */
  #checks: (() => string | null)[] = [];
  #lastValue = FILLING;

  constructor(program: ProgramSpec, test: TestReactor, rig: CompositionRig) {
    this.#program = program;
    this.#test = test;
    this.#rig = rig;
    const { sizeBytes, maxTransferBytes } = this.#device.info;
    const sectorCount = sizeBytes / SECTOR_BYTES;
    this.#tearing = tearingOf(program.root, test.level !== "fake");
    this.#model = new SectorModel({ sectorCount, tearing: this.#tearing });
    this.#latest = new Int32Array(sectorCount);
    this.#forgets = forgets(program.root);
    this.#usesNvmf = JSON.stringify(program.root).includes('"source":"nvmf"');
    const lanes = Math.max(...program.batches.map((batch) => batch.lanes.length)) + 1;
    this.#transferBytes = Math.min(sizeBytes, maxTransferBytes);
    const bytes = laneBytes(this.#transferBytes);
    this.#slab = test.reactor.io.slabs.allocate(lanes * bytes);
    for (let lane = 0; lane < lanes; lane++) {
      const memory = { slab: this.#slab, start: lane * bytes, canPin: program.pinsMemory };
      this.#requests.push(new ModelRequest(test.reactor, memory));
    }
  }

  get #device(): Device {
    return this.#rig.branch.top.above;
  }

  get #observer(): ModelRequest {
    return this.#requests.at(-1) as ModelRequest; // there is always one
  }

  /** Gives every sector a known value. */
  async fill(): Promise<void> {
    const { values } = this.#model;
    if (this.#program.isFilled && !this.#forgets) {
      await this.#writeAll();
      values.fill(FILLING);
      this.#latest.fill(FILLING);
    } else if (!this.#rig.startsZeroed) {
      await zero(this.#device);
    }
  }

  async batch(batch: BatchSpec, name: string): Promise<void> {
    const failures: unknown[] = [];
    const note = (thrown: unknown): void => void failures.push(thrown);
    const lanes = batch.lanes.map((lane, index) => this.#lane(lane, index).catch(note));
    await Promise.all([...lanes, this.#plumb(batch.plumbing).catch(note)]);
    if (failures.length > 0) throw failures[0];
    await this.#readBack();
    const violation =
      this.#checks.map((check) => check()).find((said) => said !== null) ?? this.#model.settle();
    this.#checks = [];
    strictEqual(violation, null, `${name}: ${violation}`);
    this.#latest.set(this.#model.values);
  }

  /** The last look at everything. */
  async finish(): Promise<void> {
    await this.#checkContent("at the end");
    await this.#checkBelow();
    for (const branch of this.#rig.branches) {
      for (const { stage } of walkStages(branch)) await this.#checkLegs(stage);
    }
    for (const { stage } of this.#rig.branches.flatMap((branch) => [...walkStages(branch)])) {
      strictEqual(stage.device.inFlight, 0, `requests of ${stage.device.info.name}`);
      strictEqual(stage.device.lent, 0, `memory lent by ${stage.device.info.name}`);
    }
    await this.#rig.closePipes();
    if (outlivesClosing(this.#program.root)) {
      await this.#rig.openPipes();
      await this.#checkContent("opened again");
    }
    for (const request of this.#requests) request.close();
    this.#test.reactor.io.slabs.release(this.#slab);
  }

  async #lane(lane: readonly OperationSpec[], index: number): Promise<void> {
    const request = this.#requests[index] as ModelRequest; // one per lane
    for (const operation of lane) await this.#operate(operation, request);
  }

  async #operate(spec: OperationSpec, request: ModelRequest): Promise<void> {
    const { kind } = spec;
    const tap = spec.isTapped ? this.#rig.tap : null;
    const device = tap?.top.above ?? this.#device;
    const { offset, length } = placeOf(spec, device);
    const first = offset / SECTOR_BYTES;
    const count = length / SECTOR_BYTES;
    let flags = spec.flags & FLAGS[kind];
    const isLent =
      kind === "read" && this.#program.lends && device.info.lendsReads && spec.parts === 1;
    if (isLent) flags |= mayLend;
    const place = { operation: Operation[kind], offset, length, flags };
    const ask: ModelAsk = { ...place, parts: spec.parts, skew: spec.skew, data: 0 };
    const text = `${kind} of ${length} at ${offset} with flags ${flags}`;
    if (device.operations[kind as keyof OperationTable] === Support.refuse) {
      await this.#refused(device, request, { ...ask, data: dataBytes(kind, length) }, text);
      return;
    }
    switch (kind) {
      case "flush":
        expect(await request.run(device, ask, () => undefined), Status.ok, text);
        return;
      case "read": {
        const note = this.#model.begin(first, count);
        const data = isLent ? 0 : length;
        const look = ({ status }: ModelRequest): void => {
          const isOk = status === Status.ok;
          this.#model.end(note, isOk ? this.#model.decode(note, request.bytes()) : null);
        };
        expect(await request.run(device, { ...ask, data }, look), Status.ok, text);
        return;
      }
      case "blockStatus": {
        const note = this.#model.begin(first, count, { isLoose: true });
        const look = (): void => this.#model.end(note, zeroClaims(request, count));
        expect(await request.run(device, ask, look), Status.ok, text);
        return;
      }
      case "compare":
      case "compareAndWrite":
        await this.#compare(device, request, ask, { text, miss: spec.miss });
        return;
      default:
        await this.#change(device, request, ask, { text, isWrite: kind === "write" });
    }
  }

  async #refused(
    device: Device,
    request: ModelRequest,
    ask: ModelAsk,
    text: string,
  ): Promise<void> {
    const status = await request.run(device, ask, () => undefined);
    expect(status, Status.unsupported, `${text}, which is not in the table,`);
  }

  async #change(
    device: Device,
    request: ModelRequest,
    ask: ModelAsk,
    { text, isWrite }: { text: string; isWrite: boolean },
  ): Promise<void> {
    const [first, count] = sectorsOf(ask);
    this.#lastValue += 1;
    const written = isWrite && !this.#forgets ? this.#lastValue : 0;
    const data = isWrite ? this.#contentOf(this.#lastValue, first, count) : 0;
    const note = this.#model.begin(first, count, { written });
    const isFast = (ask.flags & fastZero) !== 0;
    const ended = ({ status }: ModelRequest): void => {
      this.#model.end(note);
      // Refused: it is not faster than writing.
      if (status === Status.unsupported && isFast) note.written = undefined;
      else this.#latest.fill(written, first, first + count);
    };
    const status = await request.run(device, { ...ask, data }, ended);
    if (!(isFast && status === Status.unsupported)) expect(status, Status.ok, text);
  }

  async #compare(
    device: Device,
    request: ModelRequest,
    ask: ModelAsk,
    { text, miss }: { text: string; miss: number | null },
  ): Promise<void> {
    const [first, count] = sectorsOf(ask);
    const isExchange = ask.operation === Operation.compareAndWrite;
    const values = this.#latest.slice(first, first + count);
    const expected = Buffer.concat(
      Array.from(values, (value, index) => sectorBytes(value, first + index)),
    );
    const missAt = miss === null ? null : miss % ask.length;
    if (missAt !== null) expected[missAt] = (expected[missAt] as number) ^ 0x80;
    if (isExchange) this.#lastValue += 1;
    const value = this.#forgets ? 0 : this.#lastValue;
    const data = isExchange
      ? Buffer.concat([expected, this.#contentOf(this.#lastValue, first, count)])
      : expected;
    const note = this.#model.begin(first, count, {
      isExclusive: isExchange,
      ...(isExchange ? { written: value } : {}),
    });
    // Over NVMe/TCP so much at a time, and then nothing has been done.
    const mayRefuse = isExchange && this.#usesNvmf && ask.length > FUSED_BYTES_MAX;
    const ended = ({ status, errorOffset }: ModelRequest): void => {
      if (status === Status.ok) {
        this.#model.end(note, values);
        if (isExchange) this.#latest.fill(value, first, first + count);
        return;
      }
      if (mayRefuse && status === Status.unsupported) {
        this.#model.end(note, null);
        note.written = undefined;
        return;
      }
      // Up to where it failed, it has found what it expected.
      const bad = Math.floor(errorOffset / SECTOR_BYTES) - first;
      this.#model.end(note, bad > 0 && bad < count ? values.slice(0, bad) : null);
      note.written = undefined;
      this.#checks.push(() => this.#checkMiss(note, expected, errorOffset));
    };
    const status = await request.run(device, { ...ask, data }, ended);
    if (status === Status.ok && missAt === null) return;
    if (mayRefuse && status === Status.unsupported) return;
    expect(status, Status.compareFailed, text);
  }

  /** The byte that a compare says is different was so, and the first one in its sector. */
  #checkMiss(note: Note, expected: Uint8Array, errorOffset: number): string | null {
    const at = errorOffset - note.first * SECTOR_BYTES;
    if (at < 0 || at >= expected.length) return `a compare failed at ${errorOffset}, outside of it`;
    const index = Math.floor(at / SECTOR_BYTES);
    const sector = note.first + index;
    const wanted = expected.subarray(index * SECTOR_BYTES, (index + 1) * SECTOR_BYTES);
    const candidates = this.#model.candidates(sector, note);
    if (this.#tearing !== "never" && candidates.length > 1) return null;
    const isReal = candidates.some((value) => {
      const held = sectorBytes(value, sector);
      return held.findIndex((byte, byteAt) => byte !== wanted[byteAt]) === at % SECTOR_BYTES;
    });
    return isReal ? null : `a compare failed at ${errorOffset}, where nothing differs first`;
  }

  /** Whatever was written in this batch is read, so that the model knows what is there now. */
  async #readBack(): Promise<void> {
    for (const { first, count } of this.#model.writtenRanges()) {
      const note = this.#model.begin(first, count);
      const bytes = await this.#read(this.#device, first * SECTOR_BYTES, count * SECTOR_BYTES);
      this.#model.end(note, this.#model.decode(note, bytes));
    }
  }

  async #read(device: Device, offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    const step = Math.min(device.info.maxTransferBytes, this.#transferBytes);
    for (let done = 0; done < length; done += step) {
      const count = Math.min(step, length - done);
      const place = { operation: Operation.read, offset: offset + done, length: count, flags: 0 };
      const ask = { ...place, data: count, parts: 1, skew: 0 };
      const look = (request: ModelRequest): void => bytes.set(request.bytes(), done);
      const text = `reading ${count} at ${offset + done} of ${device.info.name}`;
      expect(await this.#observer.run(device, ask, look), Status.ok, text);
    }
    return bytes;
  }

  async #writeAll(): Promise<void> {
    const { maxTransferBytes, sizeBytes } = this.#device.info;
    for (let offset = 0; offset < sizeBytes; offset += maxTransferBytes) {
      const length = Math.min(maxTransferBytes, sizeBytes - offset);
      const data = this.#contentOf(FILLING, offset / SECTOR_BYTES, length / SECTOR_BYTES);
      const place = { operation: Operation.write, offset, length, flags: 0 };
      const ask = { ...place, data, parts: 1, skew: 0 };
      const status = await this.#observer.run(this.#device, ask, () => undefined);
      expect(status, Status.ok, `filling ${length} at ${offset}`);
    }
  }

  /** Block status of all of it claims zeroes only where there are some. */
  async #checkExtents(device: Device, when: string): Promise<void> {
    const { values } = this.#model;
    const { sizeBytes } = device.info;
    for (let offset = 0; offset < sizeBytes; ) {
      const place = { operation: Operation.blockStatus, offset, length: sizeBytes - offset };
      const ask = { ...place, flags: 0, data: 0, parts: 1, skew: 0 };
      const status = await this.#observer.run(device, ask, () => undefined);
      expect(status, Status.ok, `${when}: block status at ${offset}`);
      const { lengthBytes } = this.#observer.extents as ExtentList; // every such request has one
      ok(lengthBytes > 0 && offset + lengthBytes <= sizeBytes, `${when}: ${lengthBytes} of status`);
      const first = offset / SECTOR_BYTES;
      const claims = zeroClaims(this.#observer, lengthBytes / SECTOR_BYTES);
      const wrong = claims.findIndex((claim, at) => claim === 0 && values[first + at] !== 0);
      strictEqual(wrong, -1, `${when}: sector ${first + wrong} is said to be zeroes, and is not`);
      offset += lengthBytes;
    }
  }

  /** Each stage down to the first that encrypts holds the same bytes, slices where they say. */
  async #checkBelow(): Promise<void> {
    const { values } = this.#model;
    let from = 0;
    for (const { device, stage } of this.#rig.branch.stages.toReversed()) {
      const bytes = await this.#read(device, from, values.length * SECTOR_BYTES);
      const note = this.#model.begin(0, values.length);
      this.#model.end(note, this.#model.decode(note, bytes));
      strictEqual(this.#model.settle(), null, `from ${from} of ${device.info.name}`);
      if (device.info.kind === "crypt") return;
      const offset = stage.options.find(({ key }) => key === "offset")?.value ?? "0B";
      from += parseSize(offset, { bareNumber: "refuse" });
    }
  }

  /** All legs of a mirror hold the same, as far as the mirror reaches. */
  async #checkLegs({ device, legs }: OpenStage): Promise<void> {
    const { sizeBytes, name } = device.info;
    let content: Uint8Array | null = null;
    for (const [index, leg] of legs.entries()) {
      const found = await this.#read(leg.top.above, 0, sizeBytes);
      if (content !== null) {
        strictEqual(Buffer.compare(found, content), 0, `leg ${index} of ${name} is another`);
      }
      content = found;
    }
  }

  #contentOf(value: number, first: number, count: number): Uint8Array {
    const sectors = Array.from({ length: count }, (_, index) => sectorBytes(value, first + index));
    return Buffer.concat(sectors);
  }

  /** Re-plumbs, one change at a time, while the lanes run. */
  async #plumb(changes: readonly PlumbingSpec[]): Promise<void> {
    for (const change of changes) {
      if (change.act === "wait") {
        await sleepOn(this.#test.reactor, change.ms);
        continue;
      }
      const places = this.#rig.branches.flatMap((root) =>
        [...walkStages(root)].map((found) => ({ root, found })),
      );
      const fitting = places.filter(({ found }) => isFitting(change, found));
      const chosen = fitting[change.at % Math.max(1, fitting.length)];
      if (chosen !== undefined) await replumb(chosen.root, chosen.found, change);
    }
  }

  async #checkContent(when: string): Promise<void> {
    const { values } = this.#model;
    const { tap, branch } = this.#rig;
    for (const { top } of tap === null ? [branch] : [branch, tap]) {
      const device = top.above;
      const { sizeBytes, name } = device.info;
      strictEqual(sizeBytes, values.length * SECTOR_BYTES, `size of ${name}`);
      const note = this.#model.begin(0, values.length);
      this.#model.end(note, this.#model.decode(note, await this.#read(device, 0, sizeBytes)));
      strictEqual(this.#model.settle(), null, `${when}, ${name}`);
      await this.#checkExtents(device, `${when}, ${name}`);
    }
  }
}

function expect(status: Status, expected: Status, text: string): void {
  if (status === expected) return;
  throw new Error(`${text} ended with ${statusName(status)}, expected ${statusName(expected)}`);
}

/** Within the device; transfers no longer than it takes. */
function placeOf(spec: OperationSpec, device: Device): { offset: number; length: number } {
  const { blockSizeBytes, sizeBytes, maxTransferBytes } = device.info;
  if (spec.kind === "flush") return { offset: 0, length: 0 };
  const blocks = sizeBytes / blockSizeBytes;
  const block = (Math.floor((blocks * spec.third) / 3) + spec.block) % blocks;
  const isTransfer = dataBytes(spec.kind, 1) > 0;
  const most = isTransfer ? maxTransferBytes / blockSizeBytes : blocks;
  const count = Math.min(spec.blocks, blocks - block, most);
  return { offset: block * blockSizeBytes, length: count * blockSizeBytes };
}

/** Memory of the operation. */
function dataBytes(kind: OperationSpec["kind"], length: number): number {
  switch (kind) {
    case "read":
    case "write":
    case "compare":
      return length;
    case "compareAndWrite":
      return 2 * length;
    default:
      return 0;
  }
}

function sectorsOf({ offset, length }: ModelAsk): [first: number, count: number] {
  return [offset / SECTOR_BYTES, length / SECTOR_BYTES];
}

/** 0 for each sector that block status says is a hole or zeroes. */
function zeroClaims({ extents }: ModelRequest, count: number): Int32Array {
  const claims = new Int32Array(count).fill(UNSEEN);
  let sector = 0;
  for (const [index, length] of (extents?.lengths ?? []).entries()) {
    const end = sector + length / SECTOR_BYTES;
    const flags = extents?.flags[index] ?? 0;
    if ((flags & (ExtentFlag.zero | ExtentFlag.hole)) !== 0) claims.fill(0, sector, end);
    sector = end;
  }
  return claims;
}

function isFitting(change: PlumbingSpec, { branch, stage }: FoundStage): boolean {
  switch (change.act) {
    case "insert":
      return branch.stages.length < STAGES_MAX;
    case "remove":
      return stage.plan !== null && stage.plan.fixedBecause === null && stage.tappedBy.size === 0;
    case "change": {
      const isSame = stage.stage.kind === "call" && stage.stage.name === nameOf(change.text);
      return isSame && stage.plan?.change !== undefined;
    }
    case "wait":
      return true;
    default:
      return unreachable(change);
  }
}

async function replumb(
  root: Branch,
  { place }: FoundStage,
  change: Exclude<PlumbingSpec, { act: "wait" }>,
): Promise<void> {
  if (change.act === "insert") await insertStage(root, { text: change.text, above: place });
  else if (change.act === "remove") await removeStage(root, { stage: place });
  else changeStage(root, { stage: place, text: change.text });
}
