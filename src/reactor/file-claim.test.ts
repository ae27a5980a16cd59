// Tests of FileClaim: who has a name keeps it, the others are told; other failures are not that.

import { match, rejects } from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { FileClaim } from "./file-claim.ts";

test("a claim is one holder's until it is released, and names it", async () => {
  const identity = randomUUID();
  const first = await FileClaim.take(identity, "/x", "pipe one");
  await rejects(FileClaim.take(identity, "/x", "pipe two"), {
    code: "claimed",
    message: /^\/x is in use by pipe one \(process \d+\)$/,
  });
  await first.release();
  const second = await FileClaim.take(identity, "/x", "pipe two");
  await second.release();
});

test("a name that cannot be had for another reason is not called claimed", async () => {
  const tooLong = "x".repeat(200);
  await rejects(FileClaim.take(tooLong, "/x", "pipe one"), ({ message }: Error) => {
    match(message, /^(?!.*in use)/);
    return true;
  });
});
