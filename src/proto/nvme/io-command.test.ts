// Tests of what a host's command leaves to a device that hangs, and of what it does not.

import { notStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { BUFFER_BYTES_MAX, BufferReserve } from "../../reactor/buffer-pool.ts";
import { withReactor } from "../../reactor/test-reactor.ts";
import { NvmeCommand } from "./io-command.ts";

const BLOCK_BYTES = 4096;
const OPTIONS = { bufferLimitBytes: 2 * BUFFER_BYTES_MAX };

test("a command's memory is left to a device unless it is the reserve's", () =>
  withReactor(
    "fake",
    async ({ reactor: { buffers } }) => {
      const command = new NvmeCommand({ commandCompleted: () => undefined });
      strictEqual(command.canPin, false);
      command.payloadIn = buffers.acquire(BLOCK_BYTES);
      strictEqual(command.canPin, true, "data that came with the capsule");
      command.payloadIn?.release();
      command.payloadIn = null;
      const reserve = BufferReserve.create(buffers, BLOCK_BYTES);
      const taken = [];
      for (let buffer = buffers.acquire(BLOCK_BYTES); buffer !== null; ) {
        taken.push(buffer);
        buffer = buffers.acquire(BLOCK_BYTES);
      }
      command.buffer = reserve?.acquire(BLOCK_BYTES) ?? null;
      notStrictEqual(command.buffer, null);
      strictEqual(command.canPin, false);
      command.buffer?.release();
      for (const buffer of taken) buffer.release();
      reserve?.close();
    },
    OPTIONS,
  ));
