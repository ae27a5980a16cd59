// Tests of RpcListener: clients that stop in the middle, or are gone without a word, keep no place.

import { match, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { makeTempDir } from "../testing/temp-dir.ts";
import { type RpcHandler, RpcListener } from "./rpc-listener.ts";

const REQUEST_MS = 500;
const ANSWER_MS = 1500;
const KEEP_ALIVE_TIMER = "02";
const ACCEPT_MS_MAX = 30_000;

/** Answers when all of a request is there, piece by piece, for longer than a request may take. */
const handler: RpcHandler = (request, response) => {
  (request as IncomingMessage).resume().on("end", () => {
    response.write("first ");
    setTimeout(() => response.end("last"), ANSWER_MS);
  });
};

/** Sends `text` and nothing more. @returns what is answered until the other side has ended it */
async function talk(path: string, text: string): Promise<string> {
  const socket = connect({ path, allowHalfOpen: true });
  socket.write(text);
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

test("half a request is ended in time, a whole one answered however long that takes", async (t) => {
  const path = `${makeTempDir(t)}/s`;
  const listener = await RpcListener.open({ kind: "unix", path }, handler, {
    requestMs: REQUEST_MS,
  });
  t.after(() => listener.close());
  const head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n";
  match(await talk(path, head), /^HTTP\/1.1 408 /);
  match(await talk(path, `${head}\r\nab`), /^HTTP\/1.1 408 /);
  match(await talk(path, `${head}\r\nabcd`), /^HTTP\/1.1 200 [\s\S]*first [\s\S]*last/);
});

test("a client that is gone without a word is noticed: its connection is kept alive", async (t) => {
  const address = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const listener = await RpcListener.open(address, handler);
  t.after(() => listener.close());
  ok(listener.address.kind === "tcp");
  const { port } = listener.address;
  const client = await new Promise<Socket>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
  });
  t.after(() => void client.destroy());
  const [ours, theirs] = [port, client.localPort ?? 0].map((each) => hex(each));
  const wanted = new RegExp(`:${ours} \\S+:${theirs} 01 \\S+ (\\d\\d):`);
  let timer = "";
  // The kernel has accepted it before we have.
  for (const endMs = performance.now() + ACCEPT_MS_MAX; performance.now() < endMs; ) {
    timer = wanted.exec(readFileSync("/proc/self/net/tcp", "utf8"))?.[1] ?? "";
    if (timer === KEEP_ALIVE_TIMER) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  strictEqual(timer, KEEP_ALIVE_TIMER);
});

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}
