/**
 * NbdExport: a device under a name, with what its connections share: the table that keeps
 * overlapping changes in order, counters, and the list of connections.
 */

import { type Device, modifies } from "../../block/device.ts";
import { RangeTable } from "../../block/range-table.ts";
import { Request } from "../../block/request.ts";
import { OperationLatency } from "../../block/operation-latency.ts";
import { Support } from "../../block/operation.ts";
import type { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import type { Slab } from "../../reactor/slab.ts";
import { PAYLOAD_BYTES_MAX } from "./constants.ts";
import { HostAssociations } from "./host-associations.ts";
import { checkExport, type ExportDescription } from "./export-description.ts";

export interface NbdExportOptions {
  readonly name: string;
  readonly description?: string;
  readonly readOnly?: boolean;
  /** Connections at a time; more are refused. */
  readonly maxConnections?: number;
}

/** Counters since the export was made. */
export interface NbdExportStats {
  reads: number;
  writes: number;
  others: number;
  readBytes: number;
  writeBytes: number;
  /** From reading the header to writing the reply, summed over all commands. */
  latencyMsSum: number;
  errors: number;
  /** Open now. */
  connections: number;
}

/** What an export needs to know of its connections. */
export interface ExportConnection {
  /** Ends it: reads no more, finishes what is in flight, replies, closes. */
  drain(): Promise<void>;
}

/** Bytes an idle export holds for read-modify-write: the first and the last block. */
const SCRATCH_BYTES = 8192;

export class NbdExport {
  readonly device: Device;
  /** Replaced as a whole; a connection keeps the one that it was made with. */
  description: ExportDescription;
  readonly maxConnections: number;
  readonly connections = new Set<ExportConnection>();
  readonly associations = new HostAssociations();
  readonly stats: NbdExportStats = {
    reads: 0,
    writes: 0,
    others: 0,
    readBytes: 0,
    writeBytes: 0,
    latencyMsSum: 0,
    errors: 0,
    connections: 0,
  };
  /** From reading a command's header to sending its reply. */
  readonly latency: OperationLatency = new OperationLatency();
  /** Changes in flight, of all connections. */
  readonly #changes: RangeTable;
  /** The read-modify-write cycle that has the scratch memory, and those behind it. */
  #editing: Promise<void> = Promise.resolve();
  #scratch: Slab | null = null;

  constructor(device: Device, options: NbdExportOptions) {
    this.device = device;
    this.description = describeExport(device, options);
    this.maxConnections = options.maxConnections ?? Number.POSITIVE_INFINITY;
    this.#changes = new RangeTable((request) => {
      if (request instanceof EditTicket) request.admit();
      else device.submit(request);
    });
  }

  /** Takes the device's size, for connections to come: NBD has no way to tell those there are. */
  noteSize(): void {
    this.description = { ...this.description, sizeBytes: this.device.info.sizeBytes };
  }

  /** Starts a checked request of a client. Hot path. */
  submit(request: Request): void {
    if (!modifies(request.operation) || this.#changes.enter(request)) this.device.submit(request);
  }

  /** A request that `submit` started has ended. Hot path. */
  ended(request: Request): void {
    if (modifies(request.operation)) this.#changes.leave(request);
  }

  /**
   * Takes the place of an edit of [offset, offset + length), hull and all, among the changes in
   * the order of their arrival. `edit` follows, in the same order.
   */
  reserve(offset: number, length: number): EditTicket {
    const block = this.device.info.blockSizeBytes;
    const ticket = new EditTicket();
    ticket.offset = offset - (offset % block);
    ticket.length = Math.ceil((offset + length) / block) * block - ticket.offset;
    if (this.#changes.enter(ticket)) ticket.admit();
    return ticket;
  }

  /**
   * Runs `work` while no other change touches the ticket's blocks, with memory for one of them.
   * One such work at a time.
   */
  async edit(ticket: EditTicket, work: (scratch: Slab) => Promise<Status>): Promise<Status> {
    const before = this.#editing;
    let finished: () => void = () => undefined;
    this.#editing = new Promise((resolve) => {
      finished = resolve;
    });
    await before;
    await ticket.admitted(this.device.reactor);
    try {
      this.#scratch ??= this.device.reactor.io.slabs.allocate(SCRATCH_BYTES);
      return await work(this.#scratch);
    } finally {
      this.#changes.leave(ticket);
      finished();
    }
  }

  /** Gives the scratch memory back; nothing runs any more. */
  release(): void {
    if (this.#scratch !== null) this.device.reactor.io.slabs.release(this.#scratch);
    this.#scratch = null;
  }
}

/** Stands in the table for work that is no single request. */
export class EditTicket extends Request {
  #isAdmitted = false;
  #onAdmitted: (() => void) | null = null;

  /** From now on no other change touches the blocks. */
  admit(): void {
    this.#isAdmitted = true;
    this.#onAdmitted?.();
  }

  async admitted(reactor: Reactor): Promise<void> {
    if (this.#isAdmitted) return;
    await new Promise<void>((resolve) => {
      this.#onAdmitted = () => reactor.deliverLater(resolve);
    });
  }

  override complete(): void {
    // Never submitted.
  }
}

function describeExport(device: Device, options: NbdExportOptions): ExportDescription {
  const { info, operations } = device;
  const readOnly = info.readOnly || options.readOnly === true;
  const description: ExportDescription = {
    name: options.name,
    description: options.description ?? info.name,
    sizeBytes: info.sizeBytes,
    readOnly,
    rotational: false,
    canFlush: operations.flush !== Support.refuse,
    canFua: operations.flush !== Support.refuse,
    canTrim: operations.discard !== Support.refuse,
    canZero: operations.writeZeroes !== Support.refuse,
    canFastZero: operations.writeZeroes !== Support.refuse,
    canCache: true,
    // All connections reach the same device, whose flush covers every completed write.
    multiConn: true,
    // Off the block grid we read, modify and write: clients need not do it, and some cannot.
    minimumBlockBytes: 1,
    preferredBlockBytes: Math.max(4096, info.physicalBlockSizeBytes),
    maximumPayloadBytes: PAYLOAD_BYTES_MAX,
    instanceId: info.instanceId,
    volatileCache: info.volatileCache,
  };
  checkExport(description);
  return description;
}
