/**
 * NbdExport: a device under a name, with what its connections share: the gate that keeps
 * read-modify-write cycles alone among changes, counters, and the list of connections.
 */

import { type Device, modifies } from "../../block/device.ts";
import { ExclusiveGate } from "../../block/exclusive-gate.ts";
import { Request } from "../../block/request.ts";
import { Support } from "../../block/operation.ts";
import type { Slab } from "../../reactor/slab.ts";
import { PAYLOAD_BYTES_MAX } from "./constants.ts";
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
  readonly description: ExportDescription;
  readonly maxConnections: number;
  readonly connections = new Set<ExportConnection>();
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
  /** Changes pass here; an unaligned one passes alone. */
  readonly gate: ExclusiveGate;
  #scratch: Slab | null = null;

  constructor(device: Device, options: NbdExportOptions) {
    this.device = device;
    this.description = describeExport(device, options);
    this.maxConnections = options.maxConnections ?? Number.POSITIVE_INFINITY;
    this.gate = new ExclusiveGate((request) => {
      if (request instanceof GateTicket) request.admit();
      else device.submit(request);
    });
  }

  /** Memory for the one read-modify-write cycle that the gate admits at a time. */
  get scratch(): Slab {
    this.#scratch ??= this.device.reactor.io.slabs.allocate(SCRATCH_BYTES);
    return this.#scratch;
  }

  /** Starts a checked request of a client. Hot path. */
  submit(request: Request): void {
    if (!modifies(request.operation) || this.gate.enter(request, false)) {
      this.device.submit(request);
    }
  }

  /** Settles when no other change runs; the caller must leave the gate. */
  async enterAlone(): Promise<void> {
    const ticket = new GateTicket();
    if (this.gate.enter(ticket, true)) return;
    await new Promise<void>((resolve) => {
      ticket.admit = () => this.device.reactor.deliverLater(resolve);
    });
  }

  /** Gives the scratch memory back; nothing runs any more. */
  release(): void {
    if (this.#scratch !== null) this.device.reactor.io.slabs.release(this.#scratch);
    this.#scratch = null;
  }
}

/** Stands in the gate's queue for work that is no single request. */
class GateTicket extends Request {
  admit: () => void = () => undefined;

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
    minimumBlockBytes: info.blockSizeBytes,
    preferredBlockBytes: Math.max(4096, info.physicalBlockSizeBytes),
    maximumPayloadBytes: PAYLOAD_BYTES_MAX,
  };
  checkExport(description);
  return description;
}
