/**
 * Transmission: the phase in which a client sends commands: reads them from the receive window,
 * starts them on the export, and posts their replies.
 *
 *   header --valid--> memory there? --yes--> submitted --> completed --> reply posted --> sent
 *     |                  +--no--> stays unread in the window: no more is received (back-pressure)
 *     +--refused--> error reply (a write's payload is skipped first)
 *
 * Owned by one connection. In flight: up to COMMANDS_IN_FLIGHT_MAX commands.
 * spec: NBD proto.md "Transmission phase"
 */

import { TRANSFER_BYTES_MAX } from "../../block/device.ts";
import { modifies, } from "../../block/device.ts";
import { Operation, RequestFlag } from "../../block/operation.ts";
import { Status } from "../../block/status.ts";
import type { BufferReserve, PoolBuffer } from "../../reactor/buffer-pool.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { blockStatusHull, writeBlockStatus } from "./block-status-reply.ts";
import { type CommandOwner, type NbdCommand, ReplyKind } from "./command.ts";
import { COMMANDS_IN_FLIGHT_MAX, CommandPool } from "./command-pool.ts";
import { allowedFlags, Command, CommandFlag, NbdError, PAYLOAD_BYTES_MAX } from "./constants.ts";
import { cacheRange, writeUnaligned, zeroUnaligned } from "./edge-io.ts";
import type { NbdExport } from "./export.ts";
import { LongRead, type LongReadHost } from "./long-read.ts";
import { LongWrite, type LongWriteHost } from "./long-write.ts";
import type { NegotiatedSession } from "./negotiation.ts";
import { Payload } from "./payload.ts";
import { decodeRequest, RequestHeader, requestHeaderBytes } from "./pdu-request.ts";
import type { ReceiveWindow } from "./receive-window.ts";
import { ReplyQueue } from "./reply-queue.ts";
import { ReplyWriter } from "./reply-writer.ts";
import type { SendBankPool } from "./send-bank.ts";
import { errorForStatus } from "./status.ts";
