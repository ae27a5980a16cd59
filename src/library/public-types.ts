/// <reference lib="esnext.disposable" preserve="true" />
/**
 * What the package promises to those who import it: types only.
 *
 * They stand on nothing else of Penstock, so that a change inside does not change them unseen; the
 * compiler checks that what is inside fits. All numbers of bytes are safe integers.
 */

/**
 * How the kernel is reached: through node:ffi with io_uring or without, or by Node's own files and
 * sockets.
 */
export type Level = "uring" | "posix" | "portable";

export interface OpenOptions {
  /**
   * Default: PENSTOCK_IO of the environment, else `auto`: `uring` where it works and the caller is
   * on the main thread, else `posix` likewise, else `portable`.
   */
  readonly level?: Level | "auto" | undefined;
  /**
   * Memory for data on its way, shared by all devices that this process has open at a level: a
   * multiple of 1 MiB, default 64 MiB. Refused when devices are open with another limit.
   */
  readonly bufferLimitBytes?: number | undefined;
  /** Gets what people should know of, as it happens: a faulted child, a logged request. */
  readonly onEvent?: ((event: DeviceEvent) => void) | undefined;
}

/** Something that happened to a stage of a device's pipe. */
export interface DeviceEvent {
  readonly level: "info" | "warning" | "error";
  /** Stable, in kebab-case. */
  readonly code: string;
  /** Canonical text of the stage. */
  readonly stage: string;
  readonly message: string;
}

/** What a device states about itself; it does not change while the device is open. */
export interface PenstockDeviceInfo {
  /** Canonical text of the pipe as it was opened, without secrets. */
  readonly text: string;
  readonly sizeBytes: number;
  /** 512 or 4096: offsets and lengths are multiples of it. */
  readonly blockSizeBytes: number;
  readonly physicalBlockSizeBytes: number;
  readonly optimalIoBytes: number;
  readonly readOnly: boolean;
  /** True when acknowledged writes need a flush to survive power loss. */
  readonly volatileCache: boolean;
  readonly level: Level;
  /** Why the level is not `uring`; empty when it is. */
  readonly levelReason: string;
}

export interface WriteOptions {
  /** The data is on stable media when the promise is fulfilled (force unit access). */
  readonly fua?: boolean | undefined;
}

/** A range of a device in one state. */
export interface BlockStatus {
  readonly offset: number;
  readonly length: number;
  /** Not allocated on the medium. */
  readonly hole: boolean;
  /** Known to read as zeroes. */
  readonly zero: boolean;
}

/** One stage of a device's pipe. */
export interface StageDescription {
  /** Its label, or its place: what `remove`, `change` and `above` name it by. */
  readonly id: string;
  /** "2" is the second stage, "1.3.2" the second of the third leg of the first. */
  readonly place: string;
  readonly label: string | null;
  readonly kind: string;
  readonly text: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  readonly inFlight: number;
  /** Why it cannot be put in or taken out, or null. */
  readonly fixedBecause: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  /** A mirror's children, each from its source up. */
  readonly legs: readonly (readonly StageDescription[])[];
}

/** A device's pipe as it is now. */
export interface PipeDescription {
  readonly text: string;
  /** From the source up. */
  readonly stages: readonly StageDescription[];
}

export interface InsertOptions {
  /** The stage that it is put on; default: the topmost one. */
  readonly above?: string | undefined;
  /** The most that requests under way may hold the change up; default 2000. */
  readonly timeoutMs?: number | undefined;
}

export interface RemoveOptions {
  readonly timeoutMs?: number | undefined;
}

/** A device served to other programs. */
export interface DeviceShare {
  /** What clients connect to; port 0 is replaced by the real one. */
  readonly uri: string;
  /** Answers what is under way and ends the clients' connections. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Memory that devices use without a copy. Disposing of it gives the memory back: nobody may use
 * this buffer, or a view of its memory, afterwards.
 */
export type AlignedBuffer = Uint8Array & Disposable;

/**
 * An open pipe. Calls may run at once, in any number; those that overlap have no order among
 * themselves unless each is awaited. All of them reject with a PenstockError.
 */
export interface PenstockDevice {
  readonly info: PenstockDeviceInfo;
  /** Bytes. */
  readonly size: number;
  /** Bytes. */
  readonly blockSize: number;

  /** Reads `length` bytes, at most 1 GiB, into fresh memory. */
  readAt(length: number, offset: number): Promise<Uint8Array>;
  /** Reads as many bytes as `target` holds. It is the device's until the promise settles. */
  readAt<T extends Uint8Array>(target: T, offset: number): Promise<T>;
  /** `data` is the device's until the promise settles: do not change it before. */
  writeAt(data: Uint8Array, offset: number, options?: WriteOptions): Promise<void>;
  /** Every write acknowledged before the call is on stable media afterwards. */
  flush(): Promise<void>;
  /** The range is not needed any more and reads as zeroes afterwards. */
  discard(offset: number, length: number): Promise<void>;
  writeZeroes(offset: number, length: number, options?: WriteOptions): Promise<void>;
  /** Consecutive ranges that cover all of [offset, offset + length). */
  blockStatus(offset: number, length: number): Promise<BlockStatus[]>;

  /**
   * A buffer at a page boundary, filled with zeroes, at most 1 GiB; all together at most 1 GiB.
   * Any device open in this process at the same level takes it without a copy, and views of it
   * that start at a page. What is not disposed of goes with the last of these devices.
   */
  allocate(length: number): AlignedBuffer;

  /** Puts a filter, such as `limit#gold?iops=500`, into the pipe while I/O goes on. */
  insert(filter: string, options?: InsertOptions): Promise<PipeDescription>;
  /** Takes a filter out while I/O goes on. */
  remove(stage: string, options?: RemoveOptions): Promise<PipeDescription>;
  /** Gives a filter new settings: `change("gold", "limit?iops=900")`. */
  change(stage: string, filter: string): Promise<PipeDescription>;
  describe(): Promise<PipeDescription>;

  /** Serves the device to other programs too: `share("nbd://127.0.0.1:0/name")`. */
  share(uri: string): Promise<DeviceShare>;

  /**
   * Refuses new calls, waits for those under way (stages let go of what they hold back), ends the
   * shares, flushes and closes. Idempotent. It rejects when the last flush has failed; the device
   * is closed nevertheless.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
