// Tests of the verified load of `npm start` against real exports.

import { ok, rejects, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { startPenstock } from "../testing/penstock-process.ts";
import { NbdCheckClient } from "./nbd-check-client.ts";
import { PIECE_BYTES, VerifiedLoad } from "./verified-load.ts";

const OPTIONS = { lengthBytes: 2 ** 20, seed: 5 };

test("VerifiedLoad passes where data is kept, and names the place where it is not", async (t) => {
  const server = await startPenstock(t, [
    "malloc:///m?size=2MiB | nbd://127.0.0.1:0/kept",
    "null:///n?size=2MiB | nbd://127.0.0.1:0/lost",
    "malloc:///s?size=512KiB | nbd://127.0.0.1:0/small",
  ]);
  const [kept = "", lost = "", small = ""] = server.uris;
  await rejects(VerifiedLoad.connect(small, OPTIONS), { code: "size-invalid" });

  const losing = await VerifiedLoad.connect(lost, OPTIONS);
  // Its own reads find it, while it runs.
  await rejects(losing.run(), {
    code: "mismatch",
    message: /the byte at \d+ .*\(write \d+ there\)/,
  });

  const load = await VerifiedLoad.connect(kept, OPTIONS);
  const running = load.run();
  while (load.acknowledgedWrites < 200) await new Promise((resolve) => setTimeout(resolve, 5));
  load.stop();
  await running;
  ok(load.comparedReads > 0);
  const comparedBytes = await load.check(kept);
  ok(comparedBytes > 0 && comparedBytes <= OPTIONS.lengthBytes);
  strictEqual(comparedBytes % PIECE_BYTES, 0);
  // A replica that lacks it all, and one that lacks a byte.
  await rejects(load.check(lost), { code: "mismatch" });
  const client = await NbdCheckClient.connect(kept);
  const found = await client.read(0, OPTIONS.lengthBytes);
  const place = found.findIndex((byte) => byte !== 0);
  await client.write(place, Buffer.from([(found[place] as number) ^ 1]));
  await client.close();
  await rejects(load.check(kept), { code: "mismatch", message: new RegExp(`byte at ${place} `) });
});
