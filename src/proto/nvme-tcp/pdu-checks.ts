/**
 * PduChecks: what a host's PDU must be before it is believed. A wrong one is told by a C2HTermReq
 * with the offset of the field that is wrong, and the connection ends.
 *
 * All but `refuse` answer whether the PDU is right; where it is not, the host has been told.
 *
 * spec: NVMe/TCP 1.0 3.6.2
 */

import { crc32c } from "../../util/crc32c.ts";
import type { NvmeCommand } from "../nvme/io-command.ts";
import {
  DATA_ALIGNMENT_MAX,
  FatalError,
  IC_BYTES,
  PduFlag,
  type TransferFields,
} from "./common.ts";
import { PDU_FORMAT_VERSION } from "./pdu-ic.ts";
import type { TargetLink } from "./target-link.ts";
import { MAX_H2C_DATA_BYTES, type TargetSession } from "./target-session.ts";

/** Offsets of fields, for the FEI of a C2HTermReq. */
export const PduField = {
  type: 0,
  flags: 1,
  hlen: 2,
  pdo: 3,
  plen: 4,
  cccid: 8,
  ttag: 10,
} as const;
const IcField = { version: 8, alignment: 10 } as const;
const DataField = { offset: 12, length: 16 } as const;

export class PduChecks {
  readonly #link: TargetLink;
  readonly #session: TargetSession;

  constructor(link: TargetLink, session: TargetSession) {
    this.#link = link;
    this.#session = session;
  }

  /** The length, the flags and the digest of a header that is all there. Hot path. */
  isHeader(view: DataView, at: number, word: number, hlen: number): boolean {
    if (((word >>> 16) & 0xff) !== hlen) {
      return this.refuse(FatalError.invalidHeaderField, PduField.hlen, at, "a wrong HLEN");
    }
    const { headerDigest } = this.#session;
    if (((word >>> 8) & PduFlag.headerDigest) !== (headerDigest ? PduFlag.headerDigest : 0)) {
      return this.refuse(FatalError.invalidHeaderField, PduField.flags, at, "a wrong HDGSTF");
    }
    if (!headerDigest) return true;
    const { bytes } = this.#link.window.buffer.slab;
    const digest = view.getUint32(at + hlen, true);
    if (crc32c(bytes, at, hlen) === digest) return true;
    return this.refuse(
      FatalError.headerDigest,
      digest,
      at,
      "a header that does not match its digest",
    );
  }

  /** Where the data begins, and how much there is. Hot path. */
  isDataPlace(
    at: number,
    word: number,
    headerEnd: number,
    plen: number,
    dataBytes: number,
  ): boolean {
    const pdo = word >>> 24;
    if (plen < headerEnd || (pdo >= headerEnd && dataBytes <= 0)) {
      return this.refuse(FatalError.invalidHeaderField, PduField.plen, at, "a wrong PLEN");
    }
    if (pdo < headerEnd || (pdo & 3) !== 0) {
      return this.refuse(FatalError.invalidHeaderField, PduField.pdo, at, "a wrong PDO");
    }
    const isDigested = ((word >>> 8) & PduFlag.dataDigest) !== 0;
    if (isDigested === this.#session.dataDigest) return true;
    return this.refuse(FatalError.invalidHeaderField, PduField.flags, at, "a wrong DDGSTF");
  }

  /** The data matches the digest behind it. Hot path. */
  isIntact(view: DataView, at: number, lengthBytes: number): boolean {
    const { bytes } = this.#link.window.buffer.slab;
    return crc32c(bytes, at, lengthBytes) === view.getUint32(at + lengthBytes, true);
  }

  /** The lengths of an ICReq. */
  isIcHeader(view: DataView, at: number, word: number): boolean {
    const { invalidHeaderField } = FatalError;
    if (((word >>> 16) & 0xff) !== IC_BYTES) {
      return this.refuse(invalidHeaderField, PduField.hlen, at, "a wrong HLEN of an ICReq");
    }
    if (view.getUint32(at + PduField.plen, true) === IC_BYTES) return true;
    return this.refuse(invalidHeaderField, PduField.plen, at, "a wrong PLEN of an ICReq");
  }

  /** What an ICReq asks for is something that we can do. */
  isIcOffer(at: number, version: number, alignment: number): boolean {
    const { invalidHeaderField, unsupportedParameter } = FatalError;
    if (version !== PDU_FORMAT_VERSION) {
      return this.refuse(unsupportedParameter, IcField.version, at, `PFV ${version}`);
    }
    if (alignment <= DATA_ALIGNMENT_MAX) return true;
    return this.refuse(invalidHeaderField, IcField.alignment, at, `HPDA ${alignment}`);
  }

  /** An H2CData PDU is for the command that its TTAG names, and what is due next. Hot path. */
  isTransfer(
    fields: TransferFields,
    command: NvmeCommand | null,
    isLast: boolean,
    at: number,
  ): command is NvmeCommand {
    const { invalidHeaderField, dataOutOfRange, limitExceeded } = FatalError;
    if (command === null) {
      return this.refuse(invalidHeaderField, PduField.ttag, at, "a TTAG that is not in use");
    }
    if (command.cid !== fields.cid) {
      return this.refuse(invalidHeaderField, PduField.cccid, at, "a TTAG of another command");
    }
    if (fields.offset !== command.doneBytes + command.receivedBytes) {
      return this.refuse(dataOutOfRange, DataField.offset, at, "data out of order");
    }
    const leftBytes = command.partBytes - command.receivedBytes;
    if (fields.lengthBytes > leftBytes) {
      return this.refuse(dataOutOfRange, DataField.length, at, "more data than was asked for");
    }
    if (isLast && fields.lengthBytes < leftBytes) {
      return this.refuse(invalidHeaderField, PduField.flags, at, "less data than was asked for");
    }
    if (fields.lengthBytes > MAX_H2C_DATA_BYTES) {
      return this.refuse(limitExceeded, DataField.length, at, "more data than MAXH2CDATA");
    }
    return true;
  }

  /** The connection ends. `at`: of the PDU, in the window's slab. @returns false */
  refuse(fatalError: FatalError, information: number, at: number, what: string): false {
    this.#link.terminate(fatalError, information, at, `the host has sent ${what}`);
    return false;
  }
}
