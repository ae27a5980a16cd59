// Tests of the check client and of what `npm start` verifies, against real exports.

import { ok, rejects, strictEqual } from "node:assert/strict";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { startPenstock } from "../testing/penstock-process.ts";
import { NbdCheckClient } from "./nbd-check-client.ts";
import { verifyExport } from "./verify-export.ts";

const LENGTH_BYTES = 2 * 2 ** 20;
const OPTIONS = { lengthBytes: LENGTH_BYTES, seed: 7 };

test("verifyExport passes when data is kept, and names the place when it is not", async (t) => {
  const server = await startPenstock(t, [
    "malloc:///m?size=4MiB | nbd://127.0.0.1:0/a%20b",
    "null:///n?size=4MiB | nbd://127.0.0.1:0/null",
    "malloc:///s?size=1MiB | nbd://127.0.0.1:0/small",
    "malloc:///r?size=4MiB&readonly=1 | nbd://127.0.0.1:0/readonly",
  ]);
  const [good = "", empty = "", small = "", readOnly = ""] = server.uris;
  const summary = await verifyExport(good, OPTIONS);
  strictEqual(summary.bytes, LENGTH_BYTES);
  ok(summary.requests > 16);
  await rejects(verifyExport(empty, OPTIONS), { code: "mismatch", message: /the byte at \d+/ });
  await rejects(verifyExport(small, OPTIONS), { code: "size-invalid" });
  await rejects(verifyExport(readOnly, OPTIONS), { code: "command-failed", message: /error 1$/ });
  const missing = good.replace(/[^/]*$/, "missing");
  await rejects(NbdCheckClient.connect(missing), { code: "export-refused", message: /missing/ });
});

test("NbdCheckClient rejects when the server is no NBD server, or goes away", async (t) => {
  const answers = ["HTTP/1.1 400 Bad Request\r\n\r\n", ""];
  for (const answer of answers) {
    const uri = `nbd://127.0.0.1:${await serverThatSays(t, answer)}/x`;
    const code = answer === "" ? "connection-failed" : "protocol";
    await rejects(NbdCheckClient.connect(uri), { code });
  }
  await rejects(NbdCheckClient.connect("nbd://127.0.0.1:1/x"), { code: "system-econnrefused" });
});

async function serverThatSays(t: TestContext, answer: string): Promise<number> {
  const server = createServer((socket) => socket.end(answer));
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  ok(address !== null && typeof address === "object");
  return address.port;
}
