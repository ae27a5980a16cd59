/**
 * LibraryDevice: an open pipe as the package's users see it.
 *
 *   opening --all stages open--> open --close()--> closing (calls under way end) --> closed
 *
 * A thin layer: arguments are checked here, the promise API moves the bytes, a ComposedPipe owns
 * the stages. It owns its shares and its place on the engine.
 */

import { randomUUID } from "node:crypto";
import { ExtentFlag } from "../block/extents.ts";
import { PromiseDevice } from "../block/promise-device.ts";
import type { Branch } from "../pipe/branch.ts";
import { ComposedPipe, type ComposedPlan } from "../pipe/composer.ts";
import { changeStage, insertStage, removeStage, treeOf } from "../pipe/replumb.ts";
import { walkStages } from "../pipe/stage-address.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { FirstFailure } from "../util/first-failure.ts";
import { checkBytes, checkRange, checkReadLength, checkText } from "./check-arguments.ts";
import { type EngineUser, LibraryEngine } from "./library-engine.ts";
import { planShareAlone, planUnshared } from "./plan-text.ts";
import type {
  AlignedBuffer,
  BlockStatus,
  DeviceShare,
  InsertOptions,
  OpenOptions,
  PenstockDevice,
  PenstockDeviceInfo,
  PipeDescription,
  RemoveOptions,
  WriteOptions,
} from "./public-types.ts";

interface Parts {
  readonly engine: LibraryEngine;
  readonly levelReason: string;
  readonly pipe: ComposedPipe<ComposedPlan>;
  readonly device: PromiseDevice;
  readonly place: Place;
}

/** What the engine knows of a device, from before it is open until after. */
class Place implements EngineUser {
  pipe: ComposedPipe<ComposedPlan> | null = null;

  get branch(): Branch | null {
    return this.pipe?.branch ?? null;
  }
}

export class LibraryDevice implements PenstockDevice {
  readonly info: PenstockDeviceInfo;
  readonly #parts: Parts;
  /** Open, or being closed. */
  readonly #shares = new Set<DeviceShare>();
  /** Calls under way. */
  #calls = 0;
  #idle: (() => void) | null = null;
  #closed: Promise<void> | null = null;

  /** See `open` of the package. */
  static async open(text: string, options: OpenOptions): Promise<LibraryDevice> {
    checkText("the pipe", text);
    const plan = planUnshared(text);
    const place = new Place();
    const { engine, levelReason } = await LibraryEngine.enter(place, options);
    const { onEvent } = options;
    const pipe = new ComposedPipe<ComposedPlan>(plan, {
      reactor: engine.reactor,
      holder: `the program with pid ${process.pid}`,
      instanceSeed: randomUUID(),
      ...(onEvent === undefined
        ? {}
        : { report: (event) => engine.notify(() => onEvent({ ...event })) }),
      findStage: (label) => engine.findStage(label),
    });
    try {
      await pipe.openDevices();
      const device = await openPromiseDevice(pipe, engine);
      place.pipe = pipe;
      return new LibraryDevice({ engine, levelReason, pipe, device, place });
    } catch (thrown) {
      engine.leave(place);
      throw toPenstockError(thrown);
    }
  }

  private constructor(parts: Parts) {
    const { engine, levelReason, pipe, device } = parts;
    const { sizeBytes, blockSizeBytes, physicalBlockSizeBytes } = device.device.info;
    const { optimalIoBytes, readOnly, volatileCache } = device.device.info;
    this.#parts = parts;
    this.info = Object.freeze({
      text: pipe.plan.shareText,
      sizeBytes,
      blockSizeBytes,
      physicalBlockSizeBytes,
      optimalIoBytes,
      readOnly,
      volatileCache,
      level: engine.level,
      levelReason,
    });
  }

  get size(): number {
    return this.info.sizeBytes;
  }

  get blockSize(): number {
    return this.info.blockSizeBytes;
  }

  readAt(length: number, offset: number): Promise<Uint8Array>;
  readAt<T extends Uint8Array>(target: T, offset: number): Promise<T>;
  async readAt<T extends Uint8Array>(
    lengthOrTarget: number | T,
    offset: number,
  ): Promise<Uint8Array | T> {
    const isLength = typeof lengthOrTarget === "number";
    if (isLength) checkReadLength(lengthOrTarget);
    else checkBytes("target", lengthOrTarget);
    checkRange(this.info, offset, isLength ? lengthOrTarget : lengthOrTarget.length);
    this.#begin();
    try {
      return await this.#parts.device.readAt(offset, lengthOrTarget);
    } finally {
      this.#end();
    }
  }

  async writeAt(data: Uint8Array, offset: number, options: WriteOptions = {}): Promise<void> {
    checkBytes("data", data);
    checkRange(this.info, offset, data.length);
    this.#begin();
    try {
      await this.#parts.device.writeAt(offset, data, { fua: options.fua === true });
    } finally {
      this.#end();
    }
  }

  flush(): Promise<void> {
    return this.#call(() => this.#parts.device.flush());
  }

  async discard(offset: number, length: number): Promise<void> {
    checkRange(this.info, offset, length);
    await this.#call(() => this.#parts.device.discard(offset, length));
  }

  async writeZeroes(offset: number, length: number, options: WriteOptions = {}): Promise<void> {
    checkRange(this.info, offset, length);
    const fua = options.fua === true;
    await this.#call(() => this.#parts.device.writeZeroes(offset, length, { fua }));
  }

  async blockStatus(offset: number, length: number): Promise<BlockStatus[]> {
    checkRange(this.info, offset, length);
    const found = await this.#call(() => this.#parts.device.blockStatus(offset, length));
    return found.map((extent) => ({
      offset: extent.offset,
      length: extent.length,
      hole: (extent.flags & ExtentFlag.hole) !== 0,
      zero: (extent.flags & ExtentFlag.zero) !== 0,
    }));
  }

  allocate(length: number): AlignedBuffer {
    checkReadLength(length);
    this.#refuseClosed();
    return this.#parts.engine.allocate(length);
  }

  async insert(filter: string, options: InsertOptions = {}): Promise<PipeDescription> {
    checkText("the filter", filter);
    const { above, timeoutMs } = options;
    return await this.#change((branch) =>
      insertStage(branch, {
        text: filter,
        ...(above === undefined ? {} : { above }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      }),
    );
  }

  async remove(stage: string, options: RemoveOptions = {}): Promise<PipeDescription> {
    checkText("the stage", stage);
    const { timeoutMs } = options;
    const limit = timeoutMs === undefined ? {} : { timeoutMs };
    return await this.#change((branch) => removeStage(branch, { stage, ...limit }));
  }

  async change(stage: string, filter: string): Promise<PipeDescription> {
    checkText("the stage", stage);
    checkText("the filter", filter);
    return await this.#change((branch) => changeStage(branch, { stage, text: filter }));
  }

  async describe(): Promise<PipeDescription> {
    return await this.#change(() => undefined);
  }

  async share(uri: string): Promise<DeviceShare> {
    checkText("the share", uri);
    const plan = planShareAlone(uri);
    return await this.#call(async () => {
      const { engine, pipe } = this.#parts;
      const share = await engine.shares.open(pipe.device, plan, pipe.shareContext(uri));
      const close = onlyOnce(async () => {
        await share.close();
        this.#shares.delete(opened);
      });
      const opened = { uri: share.uri, close, [Symbol.asyncDispose]: close };
      this.#shares.add(opened);
      return opened;
    });
  }

  async close(): Promise<void> {
    if (this.#closed === null) this.#refuseTapped();
    this.#closed ??= this.#close();
    await this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const { engine, pipe, device, place } = this.#parts;
    // What a stage holds back by order (delay, limit, fault) must not hold the end up.
    pipe.hurry();
    await this.#whenIdle();
    const first = new FirstFailure();
    const shares = [...this.#shares].map(({ close }) => close);
    for (const step of [...shares, () => pipe.close(), () => device.close()]) {
      await first.attempt(step);
    }
    engine.leave(place);
    first.throwIfAny();
  }

  #change(step: (branch: Branch) => void | Promise<void>): Promise<PipeDescription> {
    return this.#call(() =>
      this.#parts.pipe.change(async (branch) => {
        await step(branch);
        return treeOf(branch);
      }),
    );
  }

  async #call<T>(run: () => Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await run();
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    this.#refuseClosed();
    this.#calls++;
  }

  #end(): void {
    this.#calls--;
    if (this.#calls === 0) this.#idle?.();
  }

  async #whenIdle(): Promise<void> {
    if (this.#calls === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  #refuseClosed(): void {
    if (this.#closed === null) return;
    const message = `${this.info.text} has been closed`;
    throw new PenstockError({ code: "device-closed", message });
  }

  #refuseTapped(): void {
    const { branch } = this.#parts.pipe;
    if (branch === null) return;
    for (const { stage } of walkStages(branch)) {
      if (stage.tappedBy.size === 0) continue;
      const by = [...stage.tappedBy.values()].join(", ");
      const message = `${this.info.text} is tapped by ${by}: close that first`;
      throw new PenstockError({ code: "stage-tapped", message });
    }
  }
}

async function openPromiseDevice(
  pipe: ComposedPipe<ComposedPlan>,
  engine: LibraryEngine,
): Promise<PromiseDevice> {
  pipe.markReady();
  try {
    return new PromiseDevice(pipe.device, engine.memory);
  } catch (thrown) {
    await pipe.close();
    throw thrown;
  }
}

function onlyOnce(step: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null;
  return () => {
    done ??= step();
    return done;
  };
}
