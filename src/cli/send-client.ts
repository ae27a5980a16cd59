/**
 * `penstock send` and `penstock receive`: a snapshot as bytes, between engines and files.
 *
 * With `--to` this process pumps from one engine to the other, and goes on where the receiver has
 * come to when a connection breaks.
 */

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EngineAddress } from "../api/engine-address.ts";
import { formatEngineAddress, parseEngineAddress } from "../api/engine-address.ts";
import { askEngine, streamToEngine } from "../api/engine-client.ts";
import {
  type ReceiveSnapshotRequestSchema,
  SendCompression,
  type SendSnapshotRequestSchema,
} from "../api/penstock/engine/v1/snapshot_pb.ts";
import { fromRpcError } from "../api/rpc-failure.ts";
import { PenstockError, toPenstockError } from "../util/errors.ts";
import { engineAddressFor } from "./engine-place.ts";
import type { ClientOptions } from "./pipe-client.ts";
import { shownSize } from "./pool-view.ts";

export interface SendOptions extends ClientOptions {
  readonly base?: string;
  readonly zstd: boolean;
  /** Of a receiver. */
  readonly resume?: string;
  /** The engine that receives; without it: standard output. */
  readonly to?: string;
  /** POOL/REPLICA there. */
  readonly into?: string;
  readonly thin: boolean;
  readonly rollback: boolean;
}

export interface ReceiveOptions extends ClientOptions {
  readonly snapshot?: string;
  readonly thin: boolean;
  readonly rollback: boolean;
  /** Prints the token, and receives nothing. */
  readonly resumeToken: boolean;
  /** Gives up what has come so far. */
  readonly abort: boolean;
}

type SendRequest = MessageInitShape<typeof SendSnapshotRequestSchema>;
type ReceiveMessage = MessageInitShape<typeof ReceiveSnapshotRequestSchema>;

/** Of one message. */
const CHUNK_BYTES_MAX = 128 * 1024;
/** In a row, without the receiver having got anywhere. */
const ATTEMPTS_MAX = 10;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5000;
const CLEAR_LINE = "\r\u001b[2K";

/** What is the connection's, or passes: another attempt may do. */
const PASSING_CODES: ReadonlySet<string> = new Set([
  "aborted",
  "canceled",
  "engine-connection-failed",
  "engine-unreachable",
  "stream-cut",
  "unavailable",
  "unknown",
]);

export async function send(
  pool: string,
  snapshot: string | undefined,
  options: SendOptions,
): Promise<void> {
  const { base, resume, zstd } = options;
  if (snapshot === undefined && resume === undefined) {
    const message = "a snapshot is missing: penstock send POOL VOLUME@SNAPSHOT, or --resume TOKEN";
    throw new PenstockError({ code: "invalid-argument", message });
  }
  const request: SendRequest = {
    pool,
    ...(snapshot === undefined ? {} : { snapshot }),
    compression: zstd ? SendCompression.ZSTD : SendCompression.NONE,
    ...(base === undefined ? {} : { base }),
    ...(resume === undefined ? {} : { resumeToken: resume }),
  };
  if (options.to === undefined) await sendToOutput(request, options);
  else await sendToEngine(request, options, options.to);
}

export async function receive(
  pool: string,
  replica: string,
  options: ReceiveOptions,
): Promise<void> {
  const address = engineAddressFor(options.engine);
  if (options.abort) {
    await askEngine(address, ({ snapshots }) => snapshots.abortReceive({ pool, replica }));
    return;
  }
  if (options.resumeToken) {
    const at = { pool, replica };
    const { resumeToken } = await askEngine(address, (each) => each.snapshots.getReceive(at));
    if (resumeToken !== "") {
      process.stdout.write(`${resumeToken}\n`);
      return;
    }
    const message = `${pool}/${replica} is not being received`;
    throw new PenstockError({ code: "not-receiving", message });
  }
  if (process.stdin.isTTY) {
    const message = "expected a stream on standard input, as `penstock send` writes it";
    throw new PenstockError({ code: "invalid-argument", message });
  }
  const { snapshot, thin, rollback } = options;
  const target = { pool, replica, thin, rollback, ...(snapshot === undefined ? {} : { snapshot }) };
  try {
    const { snapshot: received } = await streamToEngine(address, (snapshots) =>
      snapshots.receiveSnapshot(messages(target, process.stdin)),
    );
    process.stdout.write(`${received?.pool}/${received?.name}\n`);
  } finally {
    // Whoever still writes there is told by that, and we do not wait for it.
    process.stdin.destroy();
  }
}

async function sendToOutput(request: SendRequest, { engine }: ClientOptions): Promise<void> {
  const { stdout } = process;
  if (stdout.isTTY) {
    const message =
      "a stream is not for a terminal: send it into a file, a pipe, or --to an engine";
    throw new PenstockError({ code: "invalid-argument", message });
  }
  let failure: Error | null = null;
  stdout.on("error", (error) => {
    failure = error;
  });
  await askEngine(engineAddressFor(engine), async ({ snapshots }) => {
    for await (const { data, positionBytes, sizeBytes } of snapshots.sendSnapshot(request)) {
      if (!stdout.write(data)) await drained(stdout);
      if (failure !== null) throw outputFailed(failure);
      showProgress(positionBytes, sizeBytes);
    }
  });
  await new Promise<void>((resolve) => stdout.write("", () => resolve()));
  if (failure !== null) throw outputFailed(failure);
  clearProgress();
}

/** Until the receiver has the snapshot, or something other than a connection fails. */
async function sendToEngine(request: SendRequest, options: SendOptions, to: string): Promise<void> {
  const from = engineAddressFor(options.engine);
  const address = parseEngineAddress(to);
  const target = { ...targetOf(request, options), thin: options.thin, rollback: options.rollback };
  let reached = -1n;
  for (let attempt = 1; ; attempt++) {
    try {
      const { resumeToken, positionBytes } = await receivedSoFar(address, target);
      if (positionBytes > reached) attempt = 1;
      reached = positionBytes;
      const goesOn = resumeToken === "" ? request : { ...request, resumeToken };
      await pump({ from, request: goesOn, address, target });
      clearProgress();
      return;
    } catch (thrown) {
      clearProgress();
      const error = toPenstockError(thrown);
      // The answer was lost, not the snapshot.
      if (error.code === "already-received" && attempt > 1) return;
      // The receiver may not know yet that the last attempt is over.
      const isPassing =
        error.retryable || PASSING_CODES.has(error.code) || error.code === "volume-in-use";
      if (!isPassing || attempt >= ATTEMPTS_MAX) throw thrown;
      process.stderr.write(`penstock: ${error.code}: ${error.message}: going on\n`);
      await sleep(Math.min(RETRY_MS_MIN * 2 ** attempt, RETRY_MS_MAX));
    }
  }
}

function targetOf(
  { pool = "", snapshot = "" }: SendRequest,
  { into }: SendOptions,
): { readonly pool: string; readonly replica: string } {
  if (into !== undefined) {
    const [toPool = "", replica = "", ...more] = into.split("/");
    if (toPool !== "" && replica !== "" && more.length === 0) return { pool: toPool, replica };
  } else if (snapshot !== "") {
    return { pool, replica: snapshot.slice(0, snapshot.indexOf("@")) };
  }
  const message = `found ${into ?? "nothing"}, expected --into POOL/REPLICA`;
  throw new PenstockError({ code: "invalid-argument", message });
}

async function receivedSoFar(
  address: EngineAddress,
  { pool, replica }: { readonly pool: string; readonly replica: string },
): Promise<{ readonly resumeToken: string; readonly positionBytes: bigint }> {
  try {
    return await askEngine(address, (each) => each.snapshots.getReceive({ pool, replica }));
  } catch (thrown) {
    if (toPenstockError(thrown).code !== "volume-not-found") throw thrown;
    return { resumeToken: "", positionBytes: 0n };
  }
}

/** @throws what the sender failed with, if it was the sender */
async function pump(how: {
  readonly from: EngineAddress;
  readonly request: SendRequest;
  readonly address: EngineAddress;
  readonly target: NonNullable<ReceiveMessage["target"]>;
}): Promise<void> {
  const { from, request, address, target } = how;
  const stop = new AbortController();
  let senderFailed: unknown = null;
  await askEngine(from, async ({ snapshots }) => {
    async function* bytes(): AsyncGenerator<Uint8Array> {
      try {
        const sent = snapshots.sendSnapshot(request, { signal: stop.signal });
        for await (const { data, positionBytes, sizeBytes } of sent) {
          showProgress(positionBytes, sizeBytes);
          yield data;
        }
      } catch (thrown) {
        senderFailed = fromRpcError(thrown, formatEngineAddress(from));
        throw thrown;
      }
    }
    try {
      await streamToEngine(address, (to) => to.receiveSnapshot(messages(target, bytes())));
    } catch (thrown) {
      throw stop.signal.aborted ? thrown : (senderFailed ?? thrown);
    } finally {
      stop.abort();
    }
  });
}

async function* messages(
  target: NonNullable<ReceiveMessage["target"]>,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ReceiveMessage> {
  yield { target };
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES_MAX) {
      yield { data: chunk.subarray(at, at + CHUNK_BYTES_MAX) };
    }
  }
}

/** Also when nothing will be written any more: its `error` event says why. */
async function drained(stdout: NodeJS.WriteStream): Promise<void> {
  const settled = Promise.race([once(stdout, "drain"), once(stdout, "close")]);
  await settled.catch(() => undefined);
}

function showProgress(positionBytes: bigint, sizeBytes: bigint): void {
  if (!process.stderr.isTTY) return;
  const sizes = `${shownSize(Number(positionBytes))} of ${shownSize(Number(sizeBytes))}`;
  process.stderr.write(`${CLEAR_LINE}sent ${sizes}`);
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write(CLEAR_LINE);
}

function outputFailed(cause: Error): PenstockError {
  const message = `standard output cannot be written: ${cause.message}`;
  return new PenstockError({ code: "output-failed", message, cause });
}
