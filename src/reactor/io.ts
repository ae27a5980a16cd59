/**
 * The one interface to the outside world: files, sockets and the clock.
 *
 * Levels: `uring` (io_uring through FFI), `posix` (FFI without io_uring), `portable` (pure Node)
 * and `fake` (seeded, in memory, for tests and simulation). Everything above talks to
 * `Io` only, so the same code runs on all of them. An Io belongs to one thread.
 *
 * Hot operations complete through an `IoOp`: a long-lived object, attached once, with at most one
 * operation in flight. Results are byte counts (or op-specific numbers) >= 0, or -errno. `complete`
 * is never called inside the call that started the operation. Control operations return promises.
 */

import type { Clock } from "./clock.ts";
import type { Slab, SlabSpace } from "./slab.ts";

export const IoLevel = {
  uring: "uring",
  posix: "posix",
  portable: "portable",
  fake: "fake",
} as const;
export type IoLevel = (typeof IoLevel)[keyof typeof IoLevel];

/** A completion target. Subclass it; the owner keeps it for as long as it does I/O. */
export abstract class IoOp {
  /** Index in the Io's table of attached operations, -1 while detached. Set by `Io.attach`. */
  slot = -1;
  /** True from the start of an operation until just before `complete`. Set by the Io. */
  inFlight = false;
  /** After a receive: false when the socket was empty behind it. A hint, set by the Io. */
  socketHasMore = true;

  /**
   * Called once per started operation, from the reactor's turn (never inside the starting call).
   * The op is free again: it may start its next operation here. Must not throw.
   * @param result count >= 0, or -errno (`Errno`)
   */
  abstract complete(result: number): void;
}

/**
 * A list of byte ranges for vectored operations. Made by `Io.vector`, reused for ever.
 * The ranges' memory must stay untouched while an operation uses the vector.
 */
export interface IoVector {
  readonly capacity: number;
  /** Ranges left. */
  readonly count: number;
  /** Sum of the lengths left. */
  readonly lengthBytes: number;
  clear(): void;
  /** Appends one range; asserts `count < capacity`. Hot path. */
  push(slab: Slab, offset: number, lengthBytes: number): void;
  /** Drops the first `lengthBytes` bytes, after a short transfer. */
  advance(lengthBytes: number): void;
}

/** An open file: an index into the Io's table (the fd itself where there are fds). */
export type FileHandle = number;
/** A connected socket: an index into the Io's table (the fd itself where there are fds). */
export type SocketHandle = number;

export interface OpenFileOptions {
  readonly path: string;
  readonly write: boolean;
  /** Others may write it as well, if they say so too; exclusive writers stay away. */
  readonly shared?: boolean;
  /** Only to look, without `write`: refused where somebody writes, but keeps no writer away. */
  readonly glance?: boolean;
  /** Bypass the page cache (O_DIRECT); an error where the level or the file system cannot. */
  readonly direct?: boolean;
  /**
   * Create a missing regular file with this size (sparse), and grow a smaller one to it.
   * Never shrinks: a larger file is an error that names both sizes.
   */
  readonly createSizeBytes?: number;
  /** Who opens it, for the message that others get while it is held: "pipe vol1". */
  readonly holder?: string;
}

export interface OpenedFile {
  readonly file: FileHandle;
  readonly sizeBytes: number;
  readonly isBlockDevice: boolean;
  /** Offsets, lengths and memory of direct I/O must be multiples of this; 1 when buffered. */
  readonly alignmentBytes: number;
  /** The medium's own logical block size (512 for regular files). */
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  /** True when allocate(punch) and allocate(zero) work on it, false where they would fail. */
  readonly canPunch: boolean;
  readonly canZero: boolean;
  /** Stable identity of the medium, e.g. "8:1:1234" (device and inode): claims are by it. */
  readonly identity: string;
  /** Changes when volatile data of the medium may have been lost (boot id). */
  readonly bootId: string;
  /** How often the medium has failed to keep written data, as `noteFault` was told. */
  readonly faultCount: number;
}

/** What `allocate` does to a range. */
export const AllocateMode = {
  /** Deallocate; the range reads as zeroes afterwards. */
  punch: 1,
  /** Zeroes, keeping (or making) the allocation. */
  zero: 2,
} as const;
export type AllocateMode = (typeof AllocateMode)[keyof typeof AllocateMode];

/** Where to listen or connect. */
export type SocketAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

export interface Listener {
  /** The address really bound (port 0 replaced). */
  readonly address: SocketAddress;
  /** Stops accepting and closes; a Unix socket's path is unlinked. Idempotent. */
  close(): Promise<void>;
}

/** Gets each accepted socket (TCP_NODELAY set). Runs in the reactor's turn; must not throw. */
export type AcceptHandler = (socket: SocketHandle, peer: string) => void;

/** Runs the reactor's own work inside the Io's turn. */
export interface TurnHandler {
  /** Drains completions and flushes; true when anything was done. Must not throw. */
  runTurn(): boolean;
  /*
   * For Ios that other threads can wake (those with a `wakeHandle`). An Io that calls one of them
   * calls all: `awake` when it wakes for whatever reason, `hasWork` while it looks for work, and
   * `aboutToSleep` as the very last look.
   */
  awake?(): void;
  /** Another thread has something for this reactor. Cheap; changes nothing. */
  hasWork?(): boolean;
  /** From now on other threads signal. True: there is work already, do not sleep. */
  aboutToSleep?(): boolean;
  /** True, once, when since the last call a receive of a large transfer's rest was started. */
  takeBulkHint?(): boolean;
  /** How long to rest now (ms) although receives could be started; 0: not at all. */
  restMs?(): number;
  /** The rest is over: start what was put off. */
  endRest?(): void;
  /** Other threads may ring: sleep only where that is heard. */
  readonly hasPollers?: boolean;
  /** Reads and writes of files in flight. */
  readonly fileDepth?: number;
}

/** What the turns of an Io did so far, where it counts. */
export interface IoTurnStats {
  readonly turns: number;
  /** Sleeps in the event loop, and short ones in the kernel. */
  readonly sleeps?: number;
  readonly blocks?: number;
  /** Times it let requests gather before receiving them. */
  readonly rests?: number;
  readonly completions?: number;
  /** Milliseconds spent looking for work in vain. */
  readonly idleSpinMs?: number;
}

export interface Io {
  readonly level: IoLevel;
  readonly clock: Clock;
  readonly slabs: SlabSpace;
  readonly turnStats?: IoTurnStats;

  /** Sets the reactor that runs in each turn. Called once. */
  setTurnHandler(handler: TurnHandler): void;
  /** Asks for a turn soon, for work queued outside of one. Cheap, idempotent within a turn. */
  requestTurn(): void;
  /** Runs `callback` soon, outside of any turn, in no order: the place to settle promises. */
  defer(callback: () => void): void;
  /**
   * What other threads of the process pass to their Io's `wake` to give this one a turn. It stays
   * harmless after `close`. Absent at levels that have one thread only.
   */
  readonly wakeHandle?: number;
  /** Gives the Io with this `wakeHandle`, on any thread, a turn soon. */
  wake?(wakeHandle: number): void;

  /** True when the Io lets its reactor rest (`TurnHandler.restMs`). */
  readonly canRest?: boolean;

  attach(op: IoOp): void;
  /** Asserts that nothing is in flight on it. */
  detach(op: IoOp): void;
  /**
   * Asks to end what `op` has in flight; it completes as it would have, or with -ECANCELED.
   * File operations that already run are not interrupted.
   */
  cancel(op: IoOp): void;
  vector(capacity: number): IoVector;

  // Files. Short transfers happen only at the end of the file.
  /**
   * Opens and claims: exclusive when `write`, shared with other readers otherwise.
   * @throws PenstockError `claimed` (names the holder), `size-mismatch`, `not-found`,
   *   `permission-denied`, `unsupported` (direct), `invalid-file` (a directory, a pipe, ...)
   */
  openFile(options: OpenFileOptions): Promise<OpenedFile>;
  closeFile(file: FileHandle): Promise<void>;
  /** What the medium has by now: others may have made it larger since it was opened. */
  sizeOfFile(file: FileHandle): Promise<number>;
  /**
   * The medium with this identity has lost written data. Remembered for as long as its `bootId`,
   * whatever becomes of this process. Synchronous, and never throws.
   */
  noteFault(identity: string): void;
  read(
    op: IoOp,
    file: FileHandle,
    slab: Slab,
    offset: number,
    length: number,
    position: number,
  ): void;
  readVector(op: IoOp, file: FileHandle, vector: IoVector, position: number): void;
  /** `durable`: the data is on stable media when it completes (FUA). */
  write(
    op: IoOp,
    file: FileHandle,
    slab: Slab,
    offset: number,
    length: number,
    position: number,
    durable: boolean,
  ): void;
  writeVector(
    op: IoOp,
    file: FileHandle,
    vector: IoVector,
    position: number,
    durable: boolean,
  ): void;
  /** All completed writes are on stable media when it completes with 0. */
  sync(op: IoOp, file: FileHandle): void;
  allocate(op: IoOp, file: FileHandle, mode: AllocateMode, position: number, length: number): void;
  /**
   * SEEK_DATA / SEEK_HOLE: completes with the position (a double, up to 2^53-1), -ENXIO past the
   * end, -EOPNOTSUPP where the level has no such call (then everything counts as data).
   */
  seek(op: IoOp, file: FileHandle, position: number, what: "data" | "hole"): void;

  // Sockets.
  /** @throws PenstockError `address-in-use`, `permission-denied`, `address-invalid` */
  listen(address: SocketAddress, onAccept: AcceptHandler): Promise<Listener>;
  /**
   * Names are resolved, TCP_NODELAY is set. The kernel alone gives up after minutes: see
   * `connectWithin` for a limit. Aborting `signal` ends the attempt, soon, with `aborted`.
   * @throws PenstockError `connection-refused`, `connection-timeout`, `connection-failed`,
   *   `address-invalid`, `aborted`
   */
  connect(address: SocketAddress, signal?: AbortSignal): Promise<SocketHandle>;
  /** Completes with the bytes received (1..length), 0 at end of stream, or -errno. */
  receive(op: IoOp, socket: SocketHandle, slab: Slab, offset: number, length: number): void;
  receiveVector(op: IoOp, socket: SocketHandle, vector: IoVector): void;
  /**
   * A receive need not complete before this many bytes are there (or the stream has ended): fewer
   * wake-ups for large transfers. A hint: a level may ignore it. Ask for no more than is coming.
   */
  expectBytes?(socket: SocketHandle, lengthBytes: number): void;
  /**
   * Sends the vector's bytes; completes with the count sent, which may be short: the caller
   * advances and sends the rest. One send in flight per socket.
   */
  send(op: IoOp, socket: SocketHandle, vector: IoVector): void;
  /**
   * Tells the peer that no more will be sent, behind all that has been. Receives go on. Nothing
   * is being sent. (A socket closed with bytes unread is reset, and the peer may lose replies.)
   */
  endSocket(socket: SocketHandle): void;
  /**
   * Shuts the stream down both ways (in-flight receives and sends complete soon) without giving
   * the handle up.
   */
  shutdownSocket(socket: SocketHandle): void;
  /**
   * Lets go of a socket that another Io of the process uses from now on; nothing is in flight on
   * it. Absent at levels that have one thread only.
   */
  releaseSocket?(socket: SocketHandle): void;
  /** Gives the handle up; asserts in the level's debug checks that nothing is in flight. */
  closeSocket(socket: SocketHandle): void;

  /** Ends the Io: no operation may be in flight. The thread can exit then. Idempotent. */
  close(): Promise<void>;
}
